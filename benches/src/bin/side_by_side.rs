//! The side-by-side table on the command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use benches::peer::Program;
use benches::side::{self, Plan, Row, Subject};
use clap::{Arg, ArgMatches, Command, value_parser};

fn main() -> ExitCode {
    let matches = flags().get_matches();
    let directory = std::env::temp_dir().join(format!("damselfly-side-{}", std::process::id()));
    let outcome = plan(&matches, directory.clone()).and_then(|plan| {
        let tables = side::run(&plan, &mut std::io::stderr()).map_err(|error| error.to_string())?;
        let mut text = heading(&plan) + "\n";
        tables.iter().for_each(|table| text += &format!("\n{table}"));
        std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
    });
    let _ = std::fs::remove_dir_all(directory);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            let _ = writeln!(std::io::stderr(), "side_by_side: {text}");
            ExitCode::FAILURE
        }
    }
}

/// The families of rows.
const ROWS: &str =
    "requests,memory,sync,replicas,tls,costs,shards,types,rest,waits,large,saves,following";

fn flags() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_parser(value_parser!(u64)).default_value(default).help(help)
    };
    let text = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).default_value(default).help(help)
    };
    Command::new("side_by_side")
        .about("Measures redis-server and damselfly in turns and prints one table")
        .arg(text("rows", ROWS, "which families of rows"))
        .arg(text("pipelines", "1,16,100", "pipeline depths of the request rows"))
        .arg(number("repeats", "3", "how often each row is measured"))
        .arg(number("connections", "50", "connections of the load"))
        .arg(number(
            "requests",
            "500000",
            "requests of one run at pipeline 1 (x4 at 16, x8 at 100)",
        ))
        .arg(number("keys", "1000000", "keys of the request and replica rows"))
        .arg(number("sync_keys", "5000000", "keys of the memory and full-sync rows"))
        .arg(number("elements", "10000000", "elements of the large collections"))
        .arg(number("value_bytes", "32", "size of values"))
        .arg(number("write_rate", "20000", "writes per second beside a full sync"))
        .arg(text("redis", "redis-server", "the redis-server program"))
        .arg(text("damselfly", "target/release/damselfly", "the damselfly program"))
        .arg(number("shards", "1", "shards of damselfly (the rows of 'shards' have their own)"))
        .arg(text("floor", "", "the floor program (else beside this one)"))
        .arg(text("subject", "damselfly", "second column: damselfly, or redis to see the noise"))
        .arg(text("subject_flags", "", "further flags of the second column, between spaces"))
        .arg(text("redis_flags", "", "further flags of the first column, between spaces"))
}

fn plan(matches: &ArgMatches, directory: PathBuf) -> Result<Plan, String> {
    let number = |name: &str| *matches.get_one::<u64>(name).unwrap_or(&0);
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let words = |name: &str| text(name).split_whitespace().map(str::to_owned).collect();
    let depths: Vec<usize> = text("pipelines")
        .split(',')
        .map(|depth| match depth.trim().parse() {
            Ok(depth @ 1..) => Ok(depth),
            _ => Err(format!("'{depth}' is no pipeline depth")),
        })
        .collect::<Result<_, _>>()?;
    let rows = text("rows")
        .split(',')
        .map(|row| match row.trim() {
            "requests" => Ok(Row::Requests(depths.clone())),
            "memory" => Ok(Row::Memory),
            "sync" => Ok(Row::FullSync),
            "replicas" => Ok(Row::Replicas { tls: false }),
            "tls" => Ok(Row::Replicas { tls: true }),
            "costs" => Ok(Row::Costs),
            "shards" => Ok(Row::Shards),
            "types" => Ok(Row::Types),
            "rest" => Ok(Row::Rest),
            "waits" => Ok(Row::Waits),
            "large" => Ok(Row::Large),
            "saves" => Ok(Row::Saves),
            "following" => Ok(Row::Following),
            other => Err(format!("'{other}' is none of {ROWS}")),
        })
        .collect::<Result<_, _>>()?;
    let redis = Program::Redis(text("redis").into());
    let subject = match text("subject").as_str() {
        "redis" => redis.clone(),
        "damselfly" => {
            // The servers run in directories of their own, so a relative path would lead nowhere.
            let path = PathBuf::from(text("damselfly"));
            let path =
                path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
            Program::Damselfly(path, number("shards") as usize)
        }
        other => return Err(format!("--subject={other}: neither damselfly nor redis")),
    };
    let floor = match text("floor").as_str() {
        "" => std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("floor"),
        path => path.into(),
    };
    let redis = Subject::new(redis, words("redis_flags"));
    Ok(Plan {
        peers: [redis, Subject::new(subject, words("subject_flags"))],
        floor: Subject::new(Program::Floor(floor), Vec::new()),
        rows,
        repeats: number("repeats") as usize,
        connections: number("connections") as usize,
        keys: number("keys"),
        sync_keys: number("sync_keys"),
        elements: number("elements"),
        requests: number("requests"),
        value_bytes: number("value_bytes") as usize,
        write_rate: number("write_rate") as f64,
        directory,
    })
}

/// Without these a figure means nothing: the machine, and what was asked for.
fn heading(plan: &Plan) -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments = arguments.join(" ");
    let (repeats, kernel) = (plan.repeats, kernel.trim());
    format!(
        "side_by_side {arguments}\n{cpus} CPUs, kernel {kernel}; median of {repeats} runs \
         [least..most]; load and servers on the same machine"
    )
}
