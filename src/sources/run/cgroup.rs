//! The control group of a process, and what it counts of memory.
//!
//! Its numbers are only of use where the group is the process's own: in one that is shared, as of a
//! login session, they would be others' too.

use std::collections::BTreeSet;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use crate::limits::CGROUP_DEPTH_MAX;
use crate::limits::CGROUPS_MAX;
use crate::sources::run::process::Pid;
use crate::sources::run::process::number;
use crate::sources::run::process::read;
use crate::sources::run::process::words;

/// What a control group says of its memory; each is missing where the kernel does not say it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counted {
    /// Memory that is no file's.
    pub(crate) rss_bytes: Option<u64>,
    /// Files' pages in memory, those of tmpfs too.
    pub(crate) cache_bytes: Option<u64>,
    pub(crate) swap_bytes: Option<u64>,
    /// Pages charged to the group, ever: not all come from the disk, whatever the name says.
    pub(crate) pgpgin_pages: Option<u64>,
    /// Pages that it gave back, ever.
    pub(crate) pgpgout_pages: Option<u64>,
    /// What it may use at most.
    pub(crate) quota_bytes: Option<u64>,
}

/// Which of the two interfaces the kernel offers for memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// A group that counts memory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Cgroup {
    version: Version,
    folder: PathBuf,
}

impl Cgroup {
    /// The group of the process that `/proc/self` below `root` is; `None` when there is none that
    /// counts memory, or it cannot be seen from here.
    pub(crate) fn of_self(root: &Path) -> Option<Self> {
        let folder = root.join("self");
        let (version, path) = membership(&read(&folder.join("cgroup"))?)?;
        if version == Version::V1 && !sees_all_processes(&folder) {
            return None;
        }
        let mount = mount(&read(&folder.join("mountinfo"))?, version)?;
        let folder = mount.folder_of(&path)?;
        let must_have = match version {
            Version::V1 => "memory.stat",
            // The one at the top of a machine has no such file, nor is it anybody's own.
            Version::V2 => "memory.current",
        };
        let is_there = folder.join(must_have).exists();
        is_there.then_some(Self { version, folder })
    }

    /// Who is in it and in the groups inside; process 0 is one of another namespace. `None` when that
    /// cannot be told.
    pub(crate) fn members(&self) -> Option<BTreeSet<Pid>> {
        let mut members = BTreeSet::new();
        let mut groups_left = CGROUPS_MAX;
        add_members(
            &self.folder,
            CGROUP_DEPTH_MAX,
            &mut groups_left,
            &mut members,
        )?;
        Some(members)
    }

    /// What it counts now.
    pub(crate) fn counted(&self) -> Counted {
        let text = |name: &str| read(&self.folder.join(name)).unwrap_or_default();
        match self.version {
            Version::V1 => counted_v1(&text("memory.stat")),
            Version::V2 => Counted {
                swap_bytes: number(text("memory.swap.current").trim_ascii_end()),
                // `max` where there is none.
                quota_bytes: number(text("memory.max").trim_ascii_end()),
                ..counted_v2(&text("memory.stat"))
            },
        }
    }
}

/// Which version counts memory, and where the process stands in it: `/proc/self/cgroup` has lines
/// `NUMBER:CONTROLLERS:PATH`, that of version 2 is `0::PATH` (cgroups(7)).
pub(crate) fn membership(text: &[u8]) -> Option<(Version, PathBuf)> {
    let lines = || {
        text.split(|&byte| byte == b'\n').filter_map(|line| {
            let mut parts = line.splitn(3, |&byte| byte == b':');
            let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            Some((id, controllers, path))
        })
    };
    let v1 = lines().find(|(_, controllers, _)| has_item(controllers, b"memory"));
    let v2 = || lines().find(|&(id, controllers, _)| id == b"0" && controllers.is_empty());
    let (version, (_, _, path)) = match v1 {
        Some(line) => (Version::V1, line),
        None => (Version::V2, v2()?),
    };
    Some((version, path_of(path)))
}

/// Whether the process of `folder` sees those of all namespaces. Version 1 leaves out of a group's
/// members who is not seen, so nobody else could tell whether a group is theirs alone.
fn sees_all_processes(folder: &Path) -> bool {
    // The number of the first namespace is fixed: PROC_PID_INIT_INO of linux/proc_ns.h.
    let namespace = std::fs::read_link(folder.join("ns/pid"));
    namespace.is_ok_and(|name| name == Path::new("pid:[4026531836]"))
}

/// Where a hierarchy of control groups is mounted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Mount {
    /// Which of its groups is seen at `point`.
    top: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// The folder of the group `path`; `None` when this mount does not show it.
    fn folder_of(&self, path: &Path) -> Option<PathBuf> {
        let inside = path.strip_prefix(&self.top).ok()?;
        // `/..` is what a process sees that stands outside of its namespace of groups.
        let goes_up = inside.components().any(|part| part == Component::ParentDir);
        (!goes_up).then(|| self.point.join(inside))
    }
}

/// The mount for memory: `/proc/self/mountinfo` has lines
/// `ID PARENT DEVICE ROOT POINT OPTIONS… - TYPE SOURCE SUPEROPTIONS` (proc_pid_mountinfo(5)).
pub(crate) fn mount(text: &[u8], version: Version) -> Option<Mount> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = words(line);
        let top = fields.nth(3)?;
        let point = fields.next()?;
        let mut behind = fields.skip_while(|&field| field != b"-").skip(1);
        let (kind, _, options) = (behind.next()?, behind.next()?, behind.next()?);
        let is_it = match version {
            Version::V1 => kind == b"cgroup" && has_item(options, b"memory"),
            Version::V2 => kind == b"cgroup2",
        };
        is_it.then(|| Mount {
            top: path_of(&unescaped(top)),
            point: path_of(&unescaped(point)),
        })
    })
}

/// What `memory.stat` of version 1 counts, the groups inside too (`total_…`).
pub(crate) fn counted_v1(text: &[u8]) -> Counted {
    let value = |name: &str| {
        let total = flat_value(text, format!("total_{name}").as_bytes());
        total.or_else(|| flat_value(text, name.as_bytes()))
    };
    Counted {
        rss_bytes: value("rss"),
        cache_bytes: value("cache"),
        swap_bytes: value("swap"),
        pgpgin_pages: value("pgpgin"),
        pgpgout_pages: value("pgpgout"),
        // The least one of the group and those around it; without any it is near 2^63.
        quota_bytes: flat_value(text, b"hierarchical_memory_limit")
            .filter(|&limit| limit < NO_LIMIT_BYTES_MIN),
    }
}

/// What `memory.stat` of version 2 counts; it has no pages in and out.
pub(crate) fn counted_v2(text: &[u8]) -> Counted {
    Counted {
        rss_bytes: flat_value(text, b"anon"),
        cache_bytes: flat_value(text, b"file"),
        pgpgin_pages: flat_value(text, b"pgpgin"),
        pgpgout_pages: flat_value(text, b"pgpgout"),
        ..Counted::default()
    }
}

const NO_LIMIT_BYTES_MIN: u64 = 1 << 62;

/// The number that `key` has in a text of lines `KEY NUMBER`.
fn flat_value(text: &[u8], key: &[u8]) -> Option<u64> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix(b" ")?;
        number(value)
    })
}

/// Whether `item` stands among `items`, which are separated by commas.
fn has_item(items: &[u8], item: &[u8]) -> bool {
    items.split(|&byte| byte == b',').any(|found| found == item)
}

/// `bytes` without the kernel's escapes, `\ooo` for what would end a field.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, behind)) = rest.split_first() {
        if let [
            b'\\',
            a @ b'0'..=b'3',
            b @ b'0'..=b'7',
            c @ b'0'..=b'7',
            tail @ ..,
        ] = rest
        {
            out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = tail;
        } else {
            out.push(first);
            rest = behind;
        }
    }
    out
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// Adds those in the group at `folder` and inside; `None` when one cannot be read or there are too
/// many groups.
fn add_members(
    folder: &Path,
    depth: usize,
    groups_left: &mut usize,
    members: &mut BTreeSet<Pid>,
) -> Option<()> {
    *groups_left = groups_left.checked_sub(1)?;
    for word in words(&read(&folder.join("cgroup.procs"))?) {
        members.insert(Pid::try_from(number(word)?).ok()?);
    }
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            add_members(&entry.path(), depth.checked_sub(1)?, groups_left, members)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const V1_LINES: &str = "9:name=systemd:/\n4:cpu,memory:/a/b:c\n1:cpuset:/\n0::/x\n";

    #[test]
    fn membership_prefers_where_memory_is_counted() {
        let v1 = |path: &str| Some((Version::V1, PathBuf::from(path)));
        let v2 = |path: &str| Some((Version::V2, PathBuf::from(path)));
        for (text, expected) in [
            (V1_LINES, v1("/a/b:c")),
            ("9:memory:/\n", v1("/")),
            ("0::/user.slice/x.scope\n", v2("/user.slice/x.scope")),
            ("0::/", v2("/")),
            ("1:name=memory:/a\n0::/b\n", v2("/b")),
            ("1:memory_recursiveprot:/a\n", None),
            ("3:cpu:/\n", None),
            ("", None),
            ("memory", None),
        ] {
            assert_eq!(membership(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn mounts_are_found_by_what_they_are() {
        let text = b"22 1 0:5 / / rw - ext4 /dev/a rw\n\
            30 22 0:26 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu\n\
            31 22 0:27 /docker/9 /sys/fs/my\\040groups rw shared:9 master:1 - cgroup cgroup rw,memory\n\
            32 22 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
            33 22 0:29 /broken\n";
        let mount_of = |top: &str, point: &str| Mount {
            top: top.into(),
            point: point.into(),
        };
        let v1 = mount(text, Version::V1).unwrap();
        assert_eq!(v1, mount_of("/docker/9", "/sys/fs/my groups"));
        let v2 = mount(text, Version::V2).unwrap();
        assert_eq!(v2, mount_of("/", "/sys/fs/cgroup/unified"));
        assert_eq!(mount(b"1 2 3 / /", Version::V2), None);

        let folder = |mount: &Mount, path: &str| mount.folder_of(Path::new(path));
        assert_eq!(folder(&v1, "/docker/9"), Some("/sys/fs/my groups".into()));
        assert_eq!(
            folder(&v1, "/docker/9/in"),
            Some("/sys/fs/my groups/in".into())
        );
        assert_eq!(folder(&v1, "/docker/8"), None);
        assert_eq!(
            folder(&v2, "/a/b"),
            Some("/sys/fs/cgroup/unified/a/b".into())
        );
        assert_eq!(folder(&v2, "/../other"), None);
        assert_eq!(folder(&v2, "a"), None);
    }

    #[test]
    fn escapes_are_the_kernels() {
        for (text, expected) in [
            (r"/a\040b", "/a b"),
            (r"\011\012\134", "\t\n\\"),
            (r"\04", r"\04"),
            (r"\777", r"\777"),
            (r"\", r"\"),
            ("", ""),
        ] {
            assert_eq!(unescaped(text.as_bytes()), expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn version_1_is_counted_with_the_groups_inside() {
        let text =
            b"cache 1\nrss 2\nswap 3\npgpgin 4\npgpgout 5\nhierarchical_memory_limit 536870912\n\
            total_cache 10\ntotal_rss 20\ntotal_rss_huge 99\ntotal_pgpgin 40\ntotal_pgpgout 50\n";
        let expected = Counted {
            rss_bytes: Some(20),
            cache_bytes: Some(10),
            swap_bytes: Some(3),
            pgpgin_pages: Some(40),
            pgpgout_pages: Some(50),
            quota_bytes: Some(512 * 1024 * 1024),
        };
        assert_eq!(counted_v1(text), expected);
        let no_limit = b"hierarchical_memory_limit 9223372036854771712\nrss x\n";
        assert_eq!(counted_v1(no_limit), Counted::default());
    }

    /// A machine with version 2, where the process is in `/own`.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let groups = root.path().join("groups");
        fs::create_dir_all(groups.join("own/in")).unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let write = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
        write("proc/self/cgroup", "0::/own\n");
        let line = format!("30 22 0:26 / {} rw - cgroup2 c rw\n", groups.display());
        write("proc/self/mountinfo", &line);
        write("groups/own/memory.current", "9\n");
        write(
            "groups/own/memory.stat",
            "anon 4096\nfile 8192\nfile_mapped 1\n",
        );
        write("groups/own/memory.swap.current", "0\n");
        write("groups/own/memory.max", "max\n");
        write("groups/own/cgroup.procs", "1\n40\n");
        write("groups/own/in/cgroup.procs", "41\n");
        root
    }

    #[test]
    fn version_2_is_counted_where_the_process_is() {
        let root = machine();
        let found = Cgroup::of_self(&root.path().join("proc")).unwrap();
        let expected = Counted {
            rss_bytes: Some(4096),
            cache_bytes: Some(8192),
            swap_bytes: Some(0),
            ..Counted::default()
        };
        assert_eq!(found.counted(), expected);
        fs::write(found.folder.join("memory.max"), "536870912\n").unwrap();
        assert_eq!(found.counted().quota_bytes, Some(512 * 1024 * 1024));
        // The top of the machine.
        fs::remove_file(found.folder.join("memory.current")).unwrap();
        assert_eq!(Cgroup::of_self(&root.path().join("proc")), None);
    }

    #[test]
    fn version_1_is_used_by_who_sees_all_processes() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("self");
        let group = root.path().join("memory/own");
        fs::create_dir_all(own.join("ns")).unwrap();
        fs::create_dir_all(&group).unwrap();
        fs::write(own.join("cgroup"), "4:memory:/own\n").unwrap();
        let point = root.path().join("memory");
        let mounts = format!(
            "3 2 0:3 / {} rw - cgroup cgroup rw,memory\n",
            point.display()
        );
        fs::write(own.join("mountinfo"), mounts).unwrap();
        fs::write(group.join("memory.stat"), "total_rss 5\n").unwrap();
        for (namespace, is_used) in [("pid:[4026531836]", true), ("pid:[4026532201]", false)] {
            symlink(namespace, own.join("ns/pid")).unwrap();
            assert_eq!(Cgroup::of_self(root.path()).is_some(), is_used);
            fs::remove_file(own.join("ns/pid")).unwrap();
        }
    }

    #[test]
    fn members_are_those_inside_too() {
        let root = machine();
        let found = Cgroup::of_self(&root.path().join("proc")).unwrap();
        assert_eq!(found.members(), Some(BTreeSet::from([1, 40, 41])));
        let inner = found.folder.join("in/cgroup.procs");
        fs::write(&inner, "0\n").unwrap();
        assert_eq!(found.members(), Some(BTreeSet::from([0, 1, 40])));
        fs::write(&inner, "x\n").unwrap();
        assert_eq!(found.members(), None);
        fs::remove_file(&inner).unwrap();
        assert_eq!(found.members(), None);
        fs::remove_dir(found.folder.join("in")).unwrap();
        let mut deep = found.folder.clone();
        for _ in 0..=CGROUP_DEPTH_MAX {
            assert_eq!(found.members(), Some(BTreeSet::from([1, 40])));
            deep.push("d");
            fs::create_dir(&deep).unwrap();
            fs::write(deep.join("cgroup.procs"), "").unwrap();
        }
        assert_eq!(found.members(), None);
    }
}
