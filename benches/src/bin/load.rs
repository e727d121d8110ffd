//! The load generator on the command line.

use std::io::Write;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::Duration;

use benches::load::{self, Config, KeyOrder, Mix, Pace, Tls, Until};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

fn main() -> ExitCode {
    let matches = flags().get_matches();
    let outcome = config(&matches).and_then(|config| {
        let report = load::run(&config).map_err(|error| error.to_string())?;
        let text = match matches.get_flag("json") {
            true => report.to_json() + "\n",
            false => report.to_string(),
        };
        std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(report.is_clean() && (report.missing == 0 || !matches.get_flag("must_exist")))
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            let _ = writeln!(std::io::stderr(), "load: {text}");
            ExitCode::from(2)
        }
    }
}

fn number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_parser(value_parser!(u64)).default_value(default).help(help)
}

fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn flags() -> Command {
    Command::new("load")
        .about("Loads a server that speaks the Redis protocol, and checks its answers")
        .arg(text("host", "where the server is").default_value("127.0.0.1"))
        .arg(number("port", "6379", "its port"))
        .arg(number("connections", "50", "how many connections"))
        .arg(number("threads", "1", "how many threads share them"))
        .arg(number(
            "pipeline",
            "1",
            "requests per batch; open loop: most in flight per connection",
        ))
        .arg(number("requests", "100000", "end after so many requests"))
        .arg(text("seconds", "end after so long instead").value_parser(value_parser!(f64)))
        .arg(text("rate", "open loop: requests per second").value_parser(value_parser!(f64)))
        .arg(number("keys", "1000000", "how many keys there are"))
        .arg(switch("fill", "set every key once, in order (--requests does not count)"))
        .arg(number("value_bytes", "32", "size of values"))
        .arg(
            text("mix", "commands with weights: set=1,get=9,incr,mset:10,mget:10,append")
                .default_value("set"),
        )
        .arg(text("template", "a command of any kind instead, with __key__ and __value__"))
        .arg(switch("must_exist", "values that are missing are a failure"))
        .arg(text("user", "user of AUTH"))
        .arg(text("password", "password of AUTH"))
        .arg(switch("tls", "speak TLS").requires("cacert"))
        .arg(text("cacert", "PEM file of the authorities that are trusted"))
        .arg(text("cert", "PEM file of the certificate to show").requires("key"))
        .arg(text("key", "PEM file of its key").requires("cert"))
        .arg(text("sni", "name that the server's certificate must carry (else: host)"))
        .arg(
            text("pid", "the server's process (else: found by the port, on this machine)")
                .value_parser(value_parser!(u32)),
        )
        .arg(number("seed", "1", "beginning of the random numbers"))
        .arg(switch("json", "print the report as JSON"))
}

fn config(matches: &ArgMatches) -> Result<Config, String> {
    let number = |name: &str| *matches.get_one::<u64>(name).unwrap_or(&0);
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let host = text("host").unwrap_or_default();
    let port = u16::try_from(number("port")).map_err(|_| "--port is too large")?;
    let address = (host.as_str(), port)
        .to_socket_addrs()
        .map_err(|error| format!("{host}: {error}"))?
        .next()
        .ok_or_else(|| format!("{host} has no address"))?;
    let mut config = Config::new(address);
    if matches.get_flag("fill") {
        config = Config::fill(address, number("keys"), number("value_bytes") as usize);
    } else {
        config.connections = number("connections") as usize;
        config.pipeline = number("pipeline") as usize;
        config.order = KeyOrder::Random;
        config.until = match matches.get_one::<f64>("seconds") {
            Some(seconds) => Until::Elapsed(
                Duration::try_from_secs_f64(*seconds).map_err(|error| error.to_string())?,
            ),
            None => Until::Requests(number("requests")),
        };
        config.mix = match text("template") {
            Some(template) => Mix::template(&template)?,
            None => Mix::parse(&text("mix").unwrap_or_default())?,
        };
        if let Some(rate) = matches.get_one::<f64>("rate") {
            config.pace = Pace::Open { rate: *rate };
        }
    }
    config.threads = number("threads") as usize;
    config.keys = number("keys");
    config.value_bytes = number("value_bytes") as usize;
    config.seed = number("seed");
    config.server_pid = matches.get_one("pid").copied();
    config.credentials = text("password").map(|password| (text("user"), password));
    if matches.get_flag("tls") {
        config.tls = Some(Tls {
            authorities: text("cacert").unwrap_or_default().into(),
            identity: text("cert").zip(text("key")).map(|(c, k)| (c.into(), k.into())),
            name: text("sni").unwrap_or(host),
        });
    }
    Ok(config)
}
