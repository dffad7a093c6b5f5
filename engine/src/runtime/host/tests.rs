use super::*;

const PORTS: RangeInclusive<u16> = 40_000..=49_999;

/// A machine of two nodes with eight CPUs, of which CPU 7 is switched off and CPU 6 is not for us.
fn host() -> Host {
    let read = |path: &str| {
        Ok(match path {
            "cpu/present" => "0-7\n",
            "cpu/online" => "0-6\n",
            "node/online" => "0-1\n",
            "node/node0/cpulist" => "0-3\n",
            "node/node1/cpulist" => "4-7\n",
            _ => return Err(io::Error::from(io::ErrorKind::NotFound)),
        }
        .to_owned())
    };
    Host {
        topology: Topology::read("0-5".parse().unwrap(), read).unwrap(),
        memlock: MemlockLimit { limit: 8 << 20, is_exempt: false },
        io_uring: IoUring::Usable,
    }
}

fn request() -> PlacementRequest {
    PlacementRequest { shards: None, cpuset: None, signal_cpuset: None, ports: PORTS, listen_ip: None }
}

fn cpus(list: &str) -> Option<CpuSet> {
    Some(list.parse().unwrap())
}

fn placed(plan: &HostPlan) -> Vec<(usize, usize)> {
    plan.shards.iter().map(|shard| (shard.cpu, shard.numa_node)).collect()
}

/// The refusal's text, which must name the mending as well.
fn refusal(request: &PlacementRequest, host: &Host) -> String {
    HostPlan::new(request, host).unwrap_err().to_string()
}

#[test]
fn left_alone_the_shards_have_every_cpu_allowed_but_one() {
    let plan = HostPlan::new(&request(), &host()).unwrap();
    assert_eq!(placed(&plan), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)]);
    assert_eq!(plan.signal_cpus, cpus("0").unwrap());
}

#[test]
fn a_machine_of_one_cpu_has_one_shard_and_shares_it() {
    let mut host = host();
    host.topology.allowed = cpus("3").unwrap();
    let plan = HostPlan::new(&request(), &host).unwrap();
    assert_eq!(placed(&plan), [(3, 0)]);
    assert_eq!(plan.signal_cpus, cpus("3").unwrap());
    assert_eq!(plan.shards[0].ports, PORTS);
}

#[test]
fn the_operator_chooses_cpus_and_shards() {
    let chosen = PlacementRequest { cpuset: cpus("0,2-4"), ..request() };
    assert_eq!(placed(&HostPlan::new(&chosen, &host()).unwrap()), [(0, 0), (2, 0), (3, 0), (4, 1)]);
    assert_eq!(HostPlan::new(&chosen, &host()).unwrap().signal_cpus, cpus("1,5").unwrap());

    let fewer = PlacementRequest { shards: Some(2), signal_cpuset: cpus("0-1"), ..chosen };
    let plan = HostPlan::new(&fewer, &host()).unwrap();
    assert_eq!(placed(&plan), [(3, 0), (4, 1)]);
    assert_eq!(plan.signal_cpus, cpus("0-1").unwrap());

    let all = PlacementRequest { shards: Some(6), ..request() };
    assert_eq!(HostPlan::new(&all, &host()).unwrap().signal_cpus, cpus("0-5").unwrap());
}

#[test]
fn cpus_that_are_not_there_off_or_forbidden_are_refused() {
    for (list, said) in [("0,8-9", "no CPU 8,9"), ("7", "cpu7/online"), ("5,6", "may not use CPU 6, only 0-5")] {
        let shards = refusal(&PlacementRequest { cpuset: cpus(list), ..request() }, &host());
        assert!(shards.contains(said) && shards.starts_with("--cpuset"), "{shards}");
        let signaling = refusal(&PlacementRequest { signal_cpuset: cpus(list), ..request() }, &host());
        assert!(signaling.contains(said) && signaling.starts_with("--signal-cpuset"), "{signaling}");
    }
}

#[test]
fn a_number_of_shards_that_cannot_be_is_refused() {
    assert!(refusal(&PlacementRequest { shards: Some(0), ..request() }, &host()).contains("--shards 0"));
    let said = refusal(&PlacementRequest { shards: Some(7), ..request() }, &host());
    assert!(said.contains("7 shards need as many CPUs, and there are 6: 0-5"), "{said}");
    let said = refusal(&PlacementRequest { shards: Some(3), cpuset: cpus("1,2"), ..request() }, &host());
    assert!(said.contains("there are 2: 1,2"), "{said}");
}

#[test]
fn the_slices_tile_the_range() {
    for (ports, shards) in [(PORTS, 1), (PORTS, 3), (PORTS, 5), (1..=65_535, 4), (7..=11, 5)] {
        let slices = port_slices(&ports, shards).unwrap();
        assert_eq!(slices.len(), shards);
        assert_eq!((slices[0].start(), slices[shards - 1].end()), (ports.start(), ports.end()));
        assert!(slices.windows(2).all(|pair| *pair[0].end() + 1 == *pair[1].start()));
        assert!(slices.iter().all(|slice| slice.start() <= slice.end()));
    }
}

#[test]
fn ports_that_do_not_suffice_are_refused() {
    let with_ports = |first: u16, last: u16| {
        refusal(&PlacementRequest { ports: RangeInclusive::new(first, last), ..request() }, &host())
    };
    assert!(with_ports(0, 100).contains("--rtc-min-port"));
    assert!(with_ports(50_000, 40_000).contains("--rtc-min-port"));
    let said = with_ports(40_000, 40_003);
    assert!(said.contains("5 shards") && said.contains("--rtc-max-port"), "{said}");
}

#[test]
fn too_little_lockable_memory_is_refused_unless_it_is_not_counted() {
    let with_limit = |limit: u64, is_exempt: bool| Host { memlock: MemlockLimit { limit, is_exempt }, ..host() };
    let said = refusal(&request(), &with_limit(2048 << 10, false));
    assert!(said.contains("2560 KiB") && said.contains("2048 KiB") && said.contains("ulimit -l 2560"), "{said}");
    assert!(HostPlan::new(&request(), &with_limit(2560 << 10, false)).is_ok());
    assert!(HostPlan::new(&request(), &with_limit(512 << 10, true)).is_ok());
    assert!(HostPlan::new(&request(), &with_limit(64 << 10, true)).is_err());
    assert!(HostPlan::new(&request(), &with_limit(u64::MAX, false)).is_ok());
}

#[test]
fn a_forbidden_io_uring_is_refused_with_who_forbids_it() {
    for (io_uring, said) in [
        (IoUring::Absent, "CONFIG_IO_URING"),
        (IoUring::Disabled(2), "sysctl -w kernel.io_uring_disabled=0"),
        (IoUring::Filtered, "seccomp"),
        (IoUring::Refused(libc::ENOMEM), "dmesg"),
    ] {
        let refused = refusal(&request(), &Host { io_uring, ..host() });
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn a_kernel_without_nodes_has_one_and_one_without_cpus_is_refused() {
    let without_nodes = |path: &str| match path {
        "cpu/present" | "cpu/online" => Ok("0-1\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let topology = Topology::read(cpus("0-1").unwrap(), without_nodes).unwrap();
    assert_eq!(topology.node(1), 0);
    let nothing = |_: &str| Err(io::Error::from(io::ErrorKind::NotFound));
    assert_eq!(Topology::read(CpuSet::default(), nothing).unwrap_err().0, "cpu/present");
}

#[test]
fn the_table_shows_each_shard_with_its_place() {
    let request = PlacementRequest { shards: Some(2), ..request() };
    let table = HostPlan::new(&request, &host()).unwrap().to_string();
    let expected = "shard  CPU   NUMA node  UDP ports\n\
                    0      4     1          40000-44999\n\
                    1      5     1          45000-49999\n\
                    signaling and handshakes: CPU 0-3";
    assert_eq!(table, expected);
}

#[test]
fn this_machine_can_be_looked_at_and_planned() {
    let host = Host::look().unwrap();
    assert!(host.topology.allowed.without(&host.topology.online).is_empty());
    assert!(!host.topology.allowed.is_empty());
}

#[test]
fn a_slice_without_a_free_port_is_found_before_the_start() {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let taken = std::net::UdpSocket::bind((loopback, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let request = PlacementRequest { shards: Some(1), ports: port..=port, listen_ip: Some(loopback), ..request() };
    let plan = HostPlan::new(&request, &host()).unwrap();
    let said = plan.check_ports().unwrap_err().to_string();
    assert!(said.starts_with("shard 0") && said.contains("ss -ulnp"), "{said}");
}
