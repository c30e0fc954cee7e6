use super::*;
use crate::object::{ChartAnswers, MemoryTree, TreePath};
use crate::render;

const MIB: usize = 1 << 20;

/// A budget of which two hold so much that a third has to wait for what it asks.
fn crowded() -> (Arc<Budget>, Lease, Lease) {
    let budget = Budget::new(64 * MIB as u64);
    let (first, second) = (budget.begin("first", Stop::default()), budget.begin("second", Stop::default()));
    first.take(30 * MIB).unwrap();
    second.take(20 * MIB).unwrap();
    (budget, first, second)
}

#[test]
fn a_wait_ends_when_others_give_back_and_is_no_failure() {
    let (budget, first, second) = crowded();
    let third = budget.begin("third", Stop::default());
    third.take(2 * MIB).expect("some is free always");
    let waiting = std::thread::spawn(move || {
        let granted = third.take(20 * MIB);
        (granted, third.waited())
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished());
    drop(first);
    let (granted, waited) = waiting.join().unwrap();
    assert_eq!(granted, Ok(()));
    assert!(waited >= Duration::from_millis(100), "{waited:?}");
    drop(second);
    assert_eq!(budget.taken().0, 0);
}

#[test]
fn what_is_stopped_waits_no_longer() {
    let (budget, _first, _second) = crowded();
    let stop = Stop::default();
    let third = budget.begin("third", stop.clone());
    let waiting = std::thread::spawn(move || third.take(20 * MIB));
    stop.set();
    assert_eq!(waiting.join().unwrap(), Err(OutOfMemory::Ended));
}

/// A file of nearly as many nodes as the limits let: each of its objects has a list of maps of one entry.
fn large(name: usize, entries: usize) -> String {
    let mut text = format!("apiVersion: v1\nkind: Large\nmetadata: {{name: n{name}}}\nspec:\n");
    for _ in 0..entries {
        text.push_str("- {a: b}\n");
    }
    text
}

#[test]
fn many_files_just_below_the_limits_are_read_within_the_budget_and_others_go_on() {
    let files: Vec<(String, String)> = (0..64).map(|n| (format!("a/{n}.yaml"), large(n, 60_000))).collect();
    let large = MemoryTree::new(files.iter().map(|(path, text)| (path.as_str(), text))).unwrap();
    let small = MemoryTree::new([("a/one.yaml", small_map())]).unwrap();
    let budget = Budget::new(64 * MIB as u64);
    let render = |tree: &MemoryTree, environment: &str| {
        let lease = budget.begin(environment, Stop::default());
        let limits = render::Limits { memory: Arc::new(lease), ..render::Limits::default() };
        let folder = TreePath::new("a").unwrap();
        let answers = ChartAnswers::new();
        render::build_with(tree, &folder, &limits, &render::Cache::none(), &answers).map(drop)
    };
    std::thread::scope(|scope| {
        let hostile = [scope.spawn(|| render(&large, "one")), scope.spawn(|| render(&large, "two"))];
        for _ in 0..20 {
            render(&small, "small").unwrap();
        }
        for refused in hostile {
            let told = refused.join().unwrap().unwrap_err().to_string();
            assert!(told.contains("takes more than 32 MiB of memory"), "{told}");
        }
    });
    let (now, peak) = budget.taken();
    assert_eq!(now, 0, "all of it was given back");
    assert!(peak <= 96 * MIB, "{peak}");
}

fn small_map() -> String {
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: small}\ndata: {a: b}\n".to_owned()
}

#[test]
fn an_app_of_ten_thousand_objects_has_room_in_a_pod_of_one_gibibyte() {
    let object = |n: usize| {
        let data = "x".repeat(200);
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: n{n}, labels: {{app: web, part: p{n}}}}}\ndata: {{a: {data}, b: \"1\"}}\n"
        )
    };
    let one_each: Vec<(String, String)> = (0..10_000).map(|n| (format!("a/{n}.yaml"), object(n))).collect();
    let all: Vec<String> = (0..10_000).map(object).collect();
    // As many documents as one file may have.
    let halves = all.chunks(5_000).enumerate();
    let in_two: Vec<(String, String)> =
        halves.map(|(n, half)| (format!("a/{n}.yaml"), half.join("---\n"))).collect();
    for files in [one_each, in_two] {
        let count = files.len();
        let tree = MemoryTree::new(files.iter().map(|(path, text)| (path.as_str(), text))).unwrap();
        let budget = Budget::of(1 << 30);
        let lease = budget.begin("large", Stop::default());
        let limits = render::Limits { memory: Arc::new(lease), ..render::Limits::default() };
        let folder = TreePath::new("a").unwrap();
        let built = render::build_with(&tree, &folder, &limits, &render::Cache::none(), &ChartAnswers::new());
        if let Err(refused) = built {
            panic!("{count} files: {refused}, {:?}", budget.taken());
        }
    }
}
