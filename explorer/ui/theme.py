"""The page's gradio theme: local fonts only, the stage's own CSS variables for every colour."""

from __future__ import annotations

import gradio as gr

FONT = ["ui-sans-serif", "system-ui", "sans-serif"]
MONO = ["ui-monospace", "monospace"]

_COLORS = {
    "body_background_fill": "ground",
    "body_text_color": "ink",
    "body_text_color_subdued": "muted",
    "background_fill_primary": "surface",
    "background_fill_secondary": "raised",
    "border_color_primary": "line",
    "border_color_accent": "accent",
    "block_background_fill": "surface",
    "block_border_color": "line",
    "block_label_background_fill": "surface",
    "block_label_text_color": "muted",
    "block_title_text_color": "ink",
    "block_info_text_color": "muted",
    "panel_background_fill": "ground",
    "input_background_fill": "raised",
    "input_border_color": "line",
    "input_border_color_focus": "accent",
    "input_placeholder_color": "faint",
    "button_primary_background_fill": "accent",
    "button_primary_background_fill_hover": "accent",
    "button_primary_text_color": "accent-ink",
    "button_secondary_background_fill": "surface",
    "button_secondary_background_fill_hover": "raised",
    "button_secondary_border_color": "line",
    "button_secondary_text_color": "ink",
    "checkbox_background_color": "raised",
    "checkbox_border_color": "line",
    "checkbox_background_color_selected": "accent",
    "slider_color": "accent",
    "link_text_color": "accent",
    "color_accent": "accent",
    "color_accent_soft": "raised",
}


def make_theme() -> gr.themes.Base:
    """Dark and light are the same variables with other values, so both name the same ones."""
    theme = gr.themes.Base(
        font=FONT, font_mono=MONO, text_size="sm", spacing_size="sm", radius_size="md"
    )
    light = {name: f"var(--fs-{color})" for name, color in _COLORS.items()}
    known = set(dir(theme))
    dark = {f"{name}_dark": value for name, value in light.items() if f"{name}_dark" in known}
    return theme.set(**light, **dark)
