//! Whether anybody else was busy on this machine during a run: then the run says nothing, as its members had to share their cores.

/// A tick of the kernel's accounts is a hundredth of a second, and two accounts that are read one after the other differ by a few.
const TOLERANCE: u64 = 4;

/// What the kernel's accounts said when a run began.
#[derive(Clone, Copy, Debug)]
pub struct Accounts {
    /// Ticks in which any core was busy.
    busy: u64,
    /// Ticks that this process and its children, as far as they are over, have used.
    own: u64,
}

impl Accounts {
    /// What they say now. `None` if they cannot be read.
    #[must_use]
    pub fn now() -> Option<Self> {
        let busy = busy(&std::fs::read_to_string("/proc/stat").ok()?)?;
        Some(Self { busy, own: own(&std::fs::read_to_string("/proc/self/stat").ok()?)? })
    }

    /// Whether others were busy since then, for more than a twentieth of what this process and its children used.
    #[must_use]
    pub fn were_others_busy(&self) -> bool {
        let Some(now) = Self::now() else { return false };
        let own = now.own.saturating_sub(self.own);
        let others = now.busy.saturating_sub(self.busy).saturating_sub(own);
        others > TOLERANCE + own / 20
    }
}

/// All but the times of rest, of the line for all cores.
fn busy(stat: &str) -> Option<u64> {
    let times: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).map_while(|time| time.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guests are counted as users already.
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = times[..] else { return None };
    Some(user + nice + system + irq + softirq + steal)
}

/// In user space and in the kernel, oneself and one's children: the 14th to the 17th field, counted from before the name, which may
/// have blanks.
fn own(stat: &str) -> Option<u64> {
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read() {
        assert_eq!(busy("cpu  10 2 30 400 50 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"), Some(63));
        assert_eq!(busy("intr 5"), None);
        assert_eq!(own("77 (a (name) R 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0"), Some(127));
    }
}
