//! Storage of a state vector: real and imaginary parts apart, with a second pair to permute into.

use std::cell::RefCell;

/// Real and imaginary parts of 2^N amplitudes.
#[derive(Debug, Default)]
pub struct Planes {
    /// Real parts.
    pub re: Vec<f64>,
    /// Imaginary parts.
    pub im: Vec<f64>,
}

impl Planes {
    fn resize(&mut self, dimension: usize) {
        self.re.resize(dimension, 0.0);
        self.im.resize(dimension, 0.0);
    }
}

/// A state vector and the scratch space of the same size that the entangling pass needs.
#[derive(Debug, Default)]
pub struct Workspace {
    /// The state.
    pub state: Planes,
    /// Where the next state is written; its contents mean nothing between passes.
    pub scratch: Planes,
}

/// Bytes of a workspace per amplitude.
pub const WORKSPACE_BYTES: u128 = 4 * size_of::<f64>() as u128;
/// Workspaces up to this many amplitudes stay with their thread for the next call.
const KEPT_AMPLITUDES: usize = 1 << 16;

impl Workspace {
    fn resize(&mut self, dimension: usize) {
        self.state.resize(dimension);
        self.scratch.resize(dimension);
    }

    /// Makes the scratch planes the state.
    pub fn swap(&mut self) {
        std::mem::swap(&mut self.state, &mut self.scratch);
    }
}

/// Runs `work` with a workspace of `dimension` amplitudes, this thread's own where it is small.
pub fn with_workspace<T>(dimension: usize, work: impl FnOnce(&mut Workspace) -> T) -> T {
    thread_local!(static KEPT: RefCell<Workspace> = RefCell::default());
    if dimension > KEPT_AMPLITUDES {
        let mut workspace = Workspace::default();
        workspace.resize(dimension);
        return work(&mut workspace);
    }
    // Taken out while in use, so that a task which steals work on this thread finds none, not ours.
    let mut workspace = KEPT.take();
    workspace.resize(dimension);
    let result = work(&mut workspace);
    KEPT.set(workspace);
    result
}
