//! States as kernels see them: memory of a known length, in lines of vectors.
//!
//! Every place is held against the length before memory is touched: those of a run of butterflies
//! once, for all of their lines, and those of a table of rows once, for all of the table. What is
//! checked nowhere is who else is at work: the tiles of a pass have no line in common
//! (`schedule::tests`, `walk::tests`), and no two threads are dealt the same tile.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::simd::{Cpu, Lanes};

/// Numbers that threads share, each at places of its own. Those that nobody has written are not to
/// be read.
#[derive(Debug)]
pub struct View<'a, R> {
    start: NonNull<R>,
    length: usize,
    numbers: PhantomData<&'a R>,
}

impl<R> Clone for View<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for View<'_, R> {}

// SAFETY: numbers have no ties to a thread, and threads keep to places of their own (see above).
unsafe impl<R: Send> Send for View<'_, R> {}
// SAFETY: as above.
unsafe impl<R: Send> Sync for View<'_, R> {}

#[cold]
#[inline(never)]
fn outside(place: usize, last: usize) -> ! {
    panic!("place {place} of a view, where {last} is the last that has room")
}

impl<'a, R: Copy> View<'a, R> {
    /// The numbers of a slice.
    pub fn of(slice: &'a mut [R]) -> Self {
        Self { start: NonNull::from(&mut *slice).cast(), length: slice.len(), numbers: PhantomData }
    }

    /// Numbers at an address.
    ///
    /// # Safety
    /// For as long as `'a`, memory for `length` numbers is there, and whoever reads or writes it
    /// does so through views.
    pub unsafe fn new(start: NonNull<R>, length: usize) -> Self {
        Self { start, length, numbers: PhantomData }
    }

    /// Some of the numbers.
    #[inline(always)]
    pub fn part(self, place: usize, length: usize) -> Self {
        if place > self.length || length > self.length - place {
            outside(place, self.length);
        }
        // SAFETY: the place is within the memory, as was just checked.
        Self { start: unsafe { self.start.add(place) }, length, ..self }
    }

    /// The numbers from a place on.
    #[inline(always)]
    pub fn from(self, place: usize) -> Self {
        self.part(place, self.length.saturating_sub(place))
    }

    /// One number.
    #[inline(always)]
    pub fn get(self, place: usize) -> R {
        // SAFETY: a part of one number has room for it.
        unsafe { self.part(place, 1).start.read() }
    }

    /// Writes one number.
    #[inline(always)]
    pub fn set(self, place: usize, value: R) {
        // SAFETY: as above.
        unsafe { self.part(place, 1).start.write(value) }
    }

    /// Copies all numbers to another view of as many.
    #[inline(always)]
    pub fn copy_to(self, to: Self) {
        assert_eq!(self.length, to.length);
        // SAFETY: both have room for as many.
        unsafe { self.start.copy_to(to.start, self.length) };
    }

    /// The lines of butterflies: J lines each, `stride` numbers apart.
    #[inline(always)]
    pub fn lines<V: Lanes<Real = R>, const J: usize>(
        self,
        cpu: Cpu<V>,
        stride: usize,
    ) -> Lines<'a, V, J> {
        let span = (J - 1).saturating_mul(stride).saturating_add(2 * V::COUNT);
        if span > self.length {
            outside(span, self.length);
        }
        Lines { view: self, stride, last: self.length - span, cpu }
    }

    /// Lines at the places of a table, each up to `last_low` numbers further.
    #[inline(always)]
    pub fn spread<V: Lanes<Real = R>>(
        self,
        cpu: Cpu<V>,
        rows: &'a Rows,
        last_low: u32,
    ) -> Spread<'a, V> {
        let span = rows.last.saturating_add(last_low as usize).saturating_add(2 * V::COUNT);
        if span > self.length {
            outside(span, self.length);
        }
        Spread { start: self.start, rows, last_low, cpu }
    }

    /// Vectors anywhere.
    #[inline(always)]
    pub fn vectors<V: Lanes<Real = R>>(self, cpu: Cpu<V>) -> Vectors<'a, V> {
        Vectors { view: self, cpu }
    }
}

/// Vectors of a view.
pub struct Vectors<'a, V: Lanes> {
    view: View<'a, V::Real>,
    cpu: Cpu<V>,
}

impl<V: Lanes> Clone for Vectors<'_, V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Lanes> Copy for Vectors<'_, V> {}

impl<V: Lanes> Vectors<'_, V> {
    /// The vector at a place.
    #[inline(always)]
    pub fn get(self, place: usize) -> V {
        // SAFETY: a part of so many numbers has room for all lanes.
        unsafe { V::load(self.cpu, self.view.part(place, V::COUNT).start.as_ptr()) }
    }

    /// Writes one.
    #[inline(always)]
    pub fn set(self, place: usize, vector: V) {
        // SAFETY: as above.
        unsafe { vector.store(self.view.part(place, V::COUNT).start.as_ptr()) }
    }
}

/// The lines of butterflies in a view, real parts and then imaginary parts.
pub struct Lines<'a, V: Lanes, const J: usize> {
    view: View<'a, V::Real>,
    stride: usize,
    /// The last place that a butterfly can start at.
    last: usize,
    cpu: Cpu<V>,
}

impl<V: Lanes, const J: usize> Clone for Lines<'_, V, J> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Lanes, const J: usize> Copy for Lines<'_, V, J> {}

impl<'a, V: Lanes, const J: usize> Lines<'a, V, J> {
    /// The lines of the butterfly that starts at a place.
    #[inline(always)]
    pub fn at(self, place: usize) -> Group<'a, V, J> {
        if place > self.last {
            outside(place, self.last);
        }
        // SAFETY: `last` is within the view, as `View::lines` checked.
        let start = unsafe { self.view.start.add(place) };
        Group { start: start.as_ptr(), stride: self.stride, cpu: self.cpu, view: PhantomData }
    }

    /// The butterflies that start at a place and then every `advance` numbers.
    #[inline(always)]
    pub fn groups(self, place: usize, advance: usize, count: usize) -> Groups<'a, V, J> {
        let span = count.saturating_sub(1).saturating_mul(advance);
        if place.saturating_add(span) > self.last {
            outside(place.saturating_add(span), self.last);
        }
        // SAFETY: `last` is within the view, as `View::lines` checked.
        let start = unsafe { self.view.start.add(place) };
        let (stride, cpu) = (self.stride, self.cpu);
        Groups { start: start.as_ptr(), stride, advance, count, cpu, view: PhantomData }
    }
}

/// Butterflies that start `advance` numbers apart.
pub struct Groups<'a, V: Lanes, const J: usize> {
    start: *mut V::Real,
    stride: usize,
    advance: usize,
    count: usize,
    cpu: Cpu<V>,
    view: PhantomData<&'a V::Real>,
}

impl<'a, V: Lanes, const J: usize> Groups<'a, V, J> {
    /// The lines of one of them.
    #[inline(always)]
    pub fn at(&self, index: usize) -> Group<'a, V, J> {
        assert!(index < self.count);
        // SAFETY: `Lines::groups` checked that the last of them has room.
        let start = unsafe { self.start.add(index * self.advance) };
        Group { start, stride: self.stride, cpu: self.cpu, view: PhantomData }
    }
}

/// Places of rows of lines.
#[derive(Debug, Clone)]
pub struct Rows {
    places: Vec<usize>,
    /// The largest.
    last: usize,
}

impl Rows {
    /// A table of these places.
    pub fn new(places: Vec<usize>) -> Self {
        let last = places.iter().copied().max().unwrap_or(0);
        Self { places, last }
    }
}

/// Lines of rows, to read.
pub struct Spread<'a, V: Lanes> {
    start: NonNull<V::Real>,
    rows: &'a Rows,
    last_low: u32,
    cpu: Cpu<V>,
}

impl<'a, V: Lanes> Spread<'a, V> {
    /// A row of the table.
    #[inline(always)]
    pub fn row(&self, row: u32) -> Row<'a, V> {
        let place = self.rows.places[row as usize];
        // SAFETY: no row is beyond the last, for which `View::spread` checked.
        let start = unsafe { self.start.add(place) };
        Row { start: start.as_ptr(), last_low: self.last_low, cpu: self.cpu, view: PhantomData }
    }
}

/// Lines of one row, to read.
pub struct Row<'a, V: Lanes> {
    start: *const V::Real,
    last_low: u32,
    cpu: Cpu<V>,
    view: PhantomData<&'a V::Real>,
}

impl<'a, V: Lanes> Row<'a, V> {
    /// The lines that lie so many numbers further each.
    #[inline(always)]
    pub fn lines<const J: usize>(self, lows: [u32; J]) -> Scattered<'a, V, J> {
        let most = lows.iter().fold(0, |most, &low| most.max(low));
        if most > self.last_low {
            outside(most as usize, self.last_low as usize);
        }
        Scattered { start: self.start, lows, cpu: self.cpu, view: PhantomData }
    }
}

/// Lines of one row that do not lie a stride apart, to read.
pub struct Scattered<'a, V: Lanes, const J: usize> {
    start: *const V::Real,
    lows: [u32; J],
    cpu: Cpu<V>,
    view: PhantomData<&'a V::Real>,
}

impl<V: Lanes, const J: usize> Scattered<'_, V, J> {
    /// The real (0) or imaginary (1) parts of one line.
    #[inline(always)]
    pub fn get(&self, line: usize, part: usize) -> V {
        assert!(part < 2);
        // SAFETY: `View::spread` checked that a line has room at every row and up to the last low,
        // and `Row::lines` that none is beyond.
        unsafe { V::load(self.cpu, self.start.add(self.lows[line] as usize + part * V::COUNT)) }
    }
}

/// The lines of one butterfly.
pub struct Group<'a, V: Lanes, const J: usize> {
    start: *mut V::Real,
    stride: usize,
    cpu: Cpu<V>,
    view: PhantomData<&'a V::Real>,
}

impl<V: Lanes, const J: usize> Clone for Group<'_, V, J> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Lanes, const J: usize> Copy for Group<'_, V, J> {}

impl<V: Lanes, const J: usize> Group<'_, V, J> {
    /// Address of a line's part.
    #[inline(always)]
    fn address(self, line: usize, part: usize) -> *mut V::Real {
        assert!(line < J && part < 2);
        // SAFETY: `Lines::at` checked that there is room for J lines of two parts.
        unsafe { self.start.add(line * self.stride + part * V::COUNT) }
    }

    /// The real (0) or imaginary (1) parts of one line.
    #[inline(always)]
    pub fn get(self, line: usize, part: usize) -> V {
        // SAFETY: the address has room for all lanes.
        unsafe { V::load(self.cpu, self.address(line, part)) }
    }

    /// Writes those of one line.
    #[inline(always)]
    pub fn set(self, line: usize, part: usize, vector: V) {
        // SAFETY: as above.
        unsafe { vector.store(self.address(line, part)) }
    }

    /// Those of all lines.
    #[inline(always)]
    pub fn load(self, part: usize) -> [V; J] {
        let mut x = [V::splat(self.cpu, V::Real::default()); J];
        for (line, x) in x.iter_mut().enumerate() {
            *x = self.get(line, part);
        }
        x
    }

    /// Writes those of all lines.
    #[inline(always)]
    pub fn store(self, part: usize, x: &[V; J]) {
        for (line, &x) in x.iter().enumerate() {
            self.set(line, part, x);
        }
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
