//! What a visitor does to the page by hand: drag, spread two fingers, choose files, drop them.

use std::path::Path;

use anyhow::{Context, Result};
use headless_chrome::protocol::cdp::Input;

use super::page::Page;

impl Page {
    /// Drags with the left mouse button across an element, from and to parts of its width and
    /// height.
    pub fn drag(&self, id: &str, from: (f64, f64), to: (f64, f64)) -> Result<()> {
        let (start, end) = (self.place(id, from)?, self.place(id, to)?);
        let middle = ((start.0 + end.0) / 2.0, (start.1 + end.1) / 2.0);
        self.mouse(Input::DispatchMouseEventTypeOption::MousePressed, start)?;
        self.mouse(Input::DispatchMouseEventTypeOption::MouseMoved, middle)?;
        self.mouse(Input::DispatchMouseEventTypeOption::MouseMoved, end)?;
        self.mouse(Input::DispatchMouseEventTypeOption::MouseReleased, end)
    }

    /// Undoes as the keyboard does.
    pub fn undo(&self) -> Result<()> {
        for what in [
            Input::DispatchKeyEventTypeOption::RawKeyDown,
            Input::DispatchKeyEventTypeOption::KeyUp,
        ] {
            self.tab.call_method(Input::DispatchKeyEvent {
                Type: what,
                modifiers: Some(2), // Ctrl
                timestamp: None,
                text: None,
                unmodified_text: None,
                key_identifier: None,
                code: Some("KeyZ".to_owned()),
                key: Some("z".to_owned()),
                windows_virtual_key_code: Some(90),
                native_virtual_key_code: Some(90),
                auto_repeat: None,
                is_keypad: None,
                is_system_key: None,
                location: None,
                commands: Some(vec!["undo".to_owned()]),
            })?;
        }
        Ok(())
    }

    /// Turns the wheel over the middle of an element; up is negative.
    pub fn wheel(&self, id: &str, delta: f64) -> Result<()> {
        let (x, y) = self.place(id, (0.5, 0.5))?;
        self.tab.call_method(Input::DispatchMouseEvent {
            delta_x: Some(0.0),
            delta_y: Some(delta),
            ..pointer(Input::DispatchMouseEventTypeOption::MouseWheel, (x, y))
        })?;
        Ok(())
    }

    /// Chooses files, or a folder, in a file field.
    pub fn choose(&self, selector: &str, paths: &[&Path]) -> Result<()> {
        let paths: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let names: Vec<&str> = paths.iter().map(String::as_str).collect();
        self.tab.find_element(selector)?.set_input_files(&names)?;
        Ok(())
    }

    /// Drags files, or a folder, from the desktop and drops them on an element.
    pub fn drop(&self, id: &str, paths: &[&Path]) -> Result<()> {
        use Input::DispatchDragEventTypeOption::{DragEnter, DragOver, Drop};
        let (x, y) = self.place(id, (0.5, 0.5))?;
        let files = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let data = Input::DragData {
            items: Vec::new(),
            files: Some(files),
            drag_operations_mask: 1,
        };
        for what in [DragEnter, DragOver, Drop] {
            self.tab.call_method(Input::DispatchDragEvent {
                Type: what,
                x,
                y,
                data: data.clone(),
                modifiers: None,
            })?;
        }
        Ok(())
    }

    /// Spreads two fingers on an element, from and to these distances in parts of its width.
    pub fn pinch(&self, id: &str, from: f64, to: f64) -> Result<()> {
        let fingers = |apart: f64| -> Result<Vec<Input::TouchPoint>> {
            [0.5 - apart / 2.0, 0.5 + apart / 2.0]
                .into_iter()
                .zip([0.0, 1.0])
                .map(|(x, id_of_finger)| {
                    let (x, y) = self.place(id, (x, 0.5))?;
                    Ok(Input::TouchPoint {
                        x,
                        y,
                        radius_x: None,
                        radius_y: None,
                        rotation_angle: None,
                        force: None,
                        tangential_pressure: None,
                        tilt_x: None,
                        tilt_y: None,
                        twist: None,
                        id: Some(id_of_finger),
                    })
                })
                .collect()
        };
        use Input::DispatchTouchEventTypeOption::{TouchEnd, TouchMove, TouchStart};
        for (what, touch_points) in [
            (TouchStart, fingers(from)?),
            (TouchMove, fingers((from + to) / 2.0)?),
            (TouchMove, fingers(to)?),
            (TouchEnd, Vec::new()),
        ] {
            self.tab.call_method(Input::DispatchTouchEvent {
                Type: what,
                touch_points,
                modifiers: None,
                timestamp: None,
            })?;
        }
        Ok(())
    }

    /// Where a part of an element is on the screen.
    fn place(&self, id: &str, (x, y): (f64, f64)) -> Result<(f64, f64)> {
        let box_ = self.evaluate(&format!(
            "(() => {{ const element = document.getElementById('{id}'); element.scrollIntoView({{block: 'center', behavior: 'instant'}}); \
             const {{left, top, width, height}} = element.getBoundingClientRect(); return [left + {x} * width, top + {y} * height]; }})()"
        ))?;
        Ok((
            box_[0].as_f64().context("no place")?,
            box_[1].as_f64().context("no place")?,
        ))
    }

    fn mouse(&self, what: Input::DispatchMouseEventTypeOption, place: (f64, f64)) -> Result<()> {
        self.tab.call_method(Input::DispatchMouseEvent {
            button: Some(Input::MouseButton::Left),
            buttons: Some(1),
            click_count: Some(1),
            ..pointer(what, place)
        })?;
        Ok(())
    }
}

/// What the mouse does at a place of the screen, without a button.
fn pointer(
    what: Input::DispatchMouseEventTypeOption,
    (x, y): (f64, f64),
) -> Input::DispatchMouseEvent {
    Input::DispatchMouseEvent {
        Type: what,
        x,
        y,
        modifiers: None,
        timestamp: None,
        button: None,
        buttons: None,
        click_count: None,
        force: None,
        tangential_pressure: None,
        tilt_x: None,
        tilt_y: None,
        twist: None,
        delta_x: None,
        delta_y: None,
        pointer_Type: None,
    }
}
