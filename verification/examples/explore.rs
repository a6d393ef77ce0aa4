//! Prints how many states the model has, for numbers of instances, faults and commands.
use leasehold_verification::model::*;
use stateright::{Checker, Model};
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let model =
        Election::new(a[0] as usize, Limits { faults: a[1] as u8, commands: a[2] as u8 }).unwrap();
    let t = std::time::Instant::now();
    let mut c = model.checker().threads(2);
    if let Some(d) = a.get(3) {
        c = c.target_max_depth(*d as usize);
    }
    let c = c.spawn_bfs().join();
    println!(
        "{} unique {} generated depth {} in {:?}",
        c.unique_state_count(),
        c.state_count(),
        c.max_depth(),
        t.elapsed()
    );
    for (name, path) in c.discoveries() {
        println!("{name}: ");
        let v = path.into_vec();
        println!("{:?}", v.iter().filter_map(|x| x.1).collect::<Vec<_>>());
        let s = &v.last().unwrap().0;
        println!("left={:?} store={:?} net={:?}", s.leaderless, s.store, s.network);
        for i in s.instances.iter().flatten() {
            println!(
                "      {:?} lease {:?} trust {:?} {:?} paused {} {:?}",
                i.job,
                i.lease,
                i.trust,
                i.machine.standing(),
                i.paused,
                i.machine.wake()
            )
        }
    }
}
