//! Storage that an evolution works in.

use std::cell::RefCell;

use crate::buffer::Buffer;
use crate::error::Result;
use crate::layer::Layer;
use crate::layout::Layout;
use crate::simd::Real;
use crate::simd::math::HalfAngles;

/// A state vector, the scratch space of the same size that the CNOTs need, and a layer's numbers.
#[derive(Debug)]
pub struct Workspace<R> {
    /// The state.
    pub state: Buffer<R>,
    /// Where the next state is written.
    pub scratch: Buffer<R>,
    /// The layer at work.
    pub layer: Layer<R>,
    /// All angles, halved and reduced.
    pub angles: HalfAngles,
}

impl<R: Real> Default for Workspace<R> {
    fn default() -> Self {
        Self {
            state: Buffer::empty(),
            scratch: Buffer::empty(),
            layer: Layer::default(),
            angles: HalfAngles::default(),
        }
    }
}

/// Workspaces up to this many numbers per state stay with their thread for the next call.
const KEPT_LENGTH: usize = 1 << 17;

impl<R: Real> Workspace<R> {
    /// Makes room for states of this layout.
    fn reserve(&mut self, layout: Layout) -> Result<()> {
        self.state.reserve(layout.length())
    }

    /// Makes the scratch space the state.
    pub fn swap(&mut self) {
        std::mem::swap(&mut self.state, &mut self.scratch);
    }

    /// Gives the scratch space back to the system where it is large.
    pub fn free_scratch(&mut self) {
        if self.scratch.length() > KEPT_LENGTH {
            self.scratch = Buffer::empty();
        }
    }
}

/// A precision whose workspaces threads keep.
pub trait Kept: Real {
    /// Takes this thread's workspace, or a new one while that is in use.
    fn take() -> Workspace<Self>;
    /// Leaves a workspace with this thread.
    fn leave(workspace: Workspace<Self>);
}

macro_rules! kept {
    ($real:ident) => {
        impl Kept for $real {
            fn take() -> Workspace<Self> {
                KEPT.with(|kept| kept.borrow_mut().$real.take()).unwrap_or_default()
            }
            fn leave(workspace: Workspace<Self>) {
                KEPT.with(|kept| kept.borrow_mut().$real = Some(workspace));
            }
        }
    };
}

#[derive(Default)]
struct Drawer {
    f32: Option<Workspace<f32>>,
    f64: Option<Workspace<f64>>,
}

thread_local!(static KEPT: RefCell<Drawer> = RefCell::default());

kept!(f32);
kept!(f64);

/// Runs `work` with a workspace for states of a layout, this thread's own where it is small.
pub fn with_workspace<R: Kept, T>(
    layout: Layout,
    work: impl FnOnce(&mut Workspace<R>) -> Result<T>,
) -> Result<T> {
    // Taken out while in use, so that a task which steals work on this thread finds none, not ours.
    let mut workspace = R::take();
    workspace.reserve(layout)?;
    let result = work(&mut workspace);
    if layout.length() <= KEPT_LENGTH {
        R::leave(workspace);
    }
    result
}
