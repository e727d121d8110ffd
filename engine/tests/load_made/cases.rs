//! Values in every form, and the commands that make the same.

use super::{As, EVERY, intset, length, listpack, number, text, text_as, ziplist, zipmap};

/// One value in one form.
pub(crate) struct Case {
    pub(crate) what: String,
    /// The file's.
    pub(crate) version: u16,
    /// The type.
    pub(crate) kind: u8,
    pub(crate) value: Vec<u8>,
    /// What makes it at the key `k`.
    pub(crate) commands: Vec<Vec<Vec<u8>>>,
}

type Strings = Vec<Vec<u8>>;

fn borrowed(strings: &[Vec<u8>]) -> Vec<&[u8]> {
    strings.iter().map(Vec::as_slice).collect()
}

/// Strings of every length and integers of every width that the forms tell apart.
fn strings() -> Strings {
    let integers = [0, 12, 13, 127, 128, -1, -128, -4096, 4095, 4096, 32_767, -32_768, 8_388_607];
    let more =
        [-8_388_608, 8_388_608, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN];
    let texts = ["a", "007", "-0", "9223372036854775808", "\u{0}\r\n\u{ff}"];
    let runs = [63, 64, 253, 254, 255, 4095, 4096, 16_383, 16_384, 20_000];
    let integers = integers.iter().chain(&more).map(|number| number.to_string().into_bytes());
    let texts = texts.iter().map(|text| text.as_bytes().to_vec());
    let runs = runs.iter().map(|run| vec![b'r'; *run]);
    integers.chain(texts).chain(runs).collect()
}

/// Commands of a thousand arguments at the most.
fn commands(name: &str, arguments: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let head = [name.as_bytes().to_vec(), b"k".to_vec()];
    arguments.chunks(1000).map(|some| [&head[..], some].concat()).collect()
}

fn line(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn counted(items: Vec<Vec<u8>>) -> Vec<u8> {
    [number(items.len() as u64), items.concat()].concat()
}

/// A string in each form by turns.
fn each(strings: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let write = |(index, string): (usize, &Vec<u8>)| {
        let fits = |how: As| match how {
            As::Integer => std::str::from_utf8(string)
                .ok()
                .and_then(|text| text.parse::<i32>().ok())
                .is_some_and(|number| number.to_string().as_bytes() == string),
            As::Two => string.len() < 1 << 14,
            As::Lzf => !string.is_empty(),
            As::Plain | As::Four | As::Eight => true,
        };
        let how = EVERY[index % EVERY.len()];
        text_as(string, if fits(how) { how } else { As::Plain })
    };
    strings.iter().enumerate().map(write).collect()
}

fn many(count: usize, prefix: &str) -> Strings {
    (0..count).map(|index| format!("{prefix}{index}").into_bytes()).collect()
}

fn lists(cases: &mut Vec<Case>) {
    let mut list = |what: &str, version: u16, kind: u8, value: Vec<u8>, elements: &[Vec<u8>]| {
        let commands = commands("RPUSH", elements);
        cases.push(Case { what: what.to_owned(), version, kind, value, commands });
    };
    let all = [strings(), vec![Vec::new()]].concat();
    list("list", 1, 1, counted(each(&all)), &all);
    let pack = ziplist(&borrowed(&all));
    list("list in a ziplist", 4, 10, text(&pack), &all);
    list("list in a packed ziplist", 6, 10, text_as(&pack, As::Lzf), &all);
    let (front, back) = all.split_at(9);
    let packs = [front, &[], back].map(|some| text(&ziplist(&borrowed(some))));
    list("list of ziplists", 7, 14, counted(packs.to_vec()), &all);
    let nodes = vec![
        [number(2), text(&listpack(&borrowed(front)))].concat(),
        [number(1), text(b"plain node")].concat(),
        [number(2), text_as(&listpack(&borrowed(back)), As::Lzf)].concat(),
    ];
    let elements = [front, &[b"plain node".to_vec()], back].concat();
    list("list of listpacks", 10, 18, counted(nodes), &elements);
    let long = many(60_000, "element ");
    list("long list", 3, 1, counted(each(&long)), &long);
    let packs: Vec<Vec<u8>> =
        long.chunks(700).map(|some| text(&ziplist(&borrowed(some)))).collect();
    list("long list of ziplists", 9, 14, counted(packs), &long);
    let mut nodes = Vec::new();
    for (index, some) in long.chunks(900).enumerate() {
        let how = if index % 2 == 0 { As::Plain } else { As::Lzf };
        nodes.push([number(2), text_as(&listpack(&borrowed(some)), how)].concat());
    }
    nodes.push([number(1), text(&vec![b'l'; 300_000])].concat());
    let elements = [long, vec![vec![b'l'; 300_000]]].concat();
    list("long list of listpacks", 11, 18, counted(nodes), &elements);
}

fn sets(cases: &mut Vec<Case>) {
    let mut set = |what: &str, version: u16, kind: u8, value: Vec<u8>, members: &[Vec<u8>]| {
        let commands = commands("SADD", members);
        cases.push(Case { what: what.to_owned(), version, kind, value, commands });
    };
    let all = strings();
    set("set", 1, 2, counted(each(&all)), &all);
    set("set in a listpack", 11, 20, text(&listpack(&borrowed(&all))), &all);
    for (width, integers) in [
        (2, vec![-32_768, -1, 0, 32_767]),
        (4, vec![i64::from(i32::MIN), 0, 70_000]),
        (8, vec![i64::MIN, -5, i64::MAX]),
        (2, (0..1000).collect()),
    ] {
        let members: Strings = integers.iter().map(|it| it.to_string().into_bytes()).collect();
        set("set of integers", 2, 11, text(&intset(&integers, width)), &members);
    }
    let long = many(60_000, "member ");
    set("long set", 8, 2, counted(each(&long)), &long);
    let integers: Vec<i64> = (0..100_000).map(|it| it * 7).collect();
    let members: Strings = integers.iter().map(|it| it.to_string().into_bytes()).collect();
    set("long set of integers", 9, 11, text(&intset(&integers, 4)), &members);
}

/// Members with scores, as text and as numbers.
fn scored(members: &[Vec<u8>]) -> Vec<(Vec<u8>, String, f64)> {
    const SCORES: [(&str, f64); 8] = [
        ("1.5", 1.5),
        ("-3", -3.0),
        ("inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        ("0", 0.0),
        ("12345", 12_345.0),
        ("2.7000000000000002", 2.7),
        ("1e100", 1e100),
    ];
    let score = |(index, member): (usize, &Vec<u8>)| {
        let (text, score) = SCORES[index % SCORES.len()];
        (member.clone(), text.to_owned(), score)
    };
    members.iter().enumerate().map(score).collect()
}

fn sorted_sets(cases: &mut Vec<Case>) {
    let mut sorted = |what: &str, version: u16, kind: u8, value: Vec<u8>, members: &[Vec<u8>]| {
        let pair = |(member, score, _): (Vec<u8>, String, f64)| [score.into_bytes(), member];
        let arguments: Strings = scored(members).into_iter().flat_map(pair).collect();
        let commands = commands("ZADD", &arguments);
        cases.push(Case { what: what.to_owned(), version, kind, value, commands });
    };
    let texts = |members: &[Vec<u8>]| {
        let write = |(member, score, _): (Vec<u8>, String, f64)| {
            let score = match score.as_str() {
                "inf" => vec![254],
                "-inf" => vec![255],
                score => [vec![score.len() as u8], score.as_bytes().to_vec()].concat(),
            };
            [text(&member), score].concat()
        };
        counted(scored(members).into_iter().map(write).collect())
    };
    let doubles = |members: &[Vec<u8>]| {
        let write = |(member, _, score): (Vec<u8>, String, f64)| {
            [text(&member), score.to_le_bytes().to_vec()].concat()
        };
        counted(scored(members).into_iter().map(write).collect())
    };
    let flat = |members: &[Vec<u8>]| -> Strings {
        let pair = |(member, score, _): (Vec<u8>, String, f64)| [member, score.into_bytes()];
        scored(members).into_iter().flat_map(pair).collect()
    };
    let (all, long) = (strings(), many(30_000, "member "));
    sorted("sorted set by text", 1, 3, texts(&all), &all);
    sorted("sorted set", 8, 5, doubles(&all), &all);
    let pairs = flat(&all);
    sorted("sorted set in a ziplist", 5, 12, text(&ziplist(&borrowed(&pairs))), &all);
    sorted("sorted set in a listpack", 10, 17, text(&listpack(&borrowed(&pairs))), &all);
    sorted("long sorted set by text", 7, 3, texts(&long), &long);
    sorted("long sorted set", 9, 5, doubles(&long), &long);
}

/// When fields of these tests end to be: far away.
const UNTIL: u64 = 4_000_000_000_000;

fn pairs(names: &[Vec<u8>]) -> Strings {
    let pair = |name: &Vec<u8>| [name.clone(), [b"value of ", &name[..]].concat()];
    names.iter().flat_map(pair).collect()
}

fn hashes(cases: &mut Vec<Case>) {
    let mut hash = |what: &str, version: u16, kind: u8, value: Vec<u8>, names: &[Vec<u8>]| {
        let commands = commands("HSET", &pairs(names));
        cases.push(Case { what: what.to_owned(), version, kind, value, commands });
    };
    let plain = |names: &[Vec<u8>]| {
        let written = each(&pairs(names));
        [number(names.len() as u64), written.concat()].concat()
    };
    let (all, long) = (strings(), many(40_000, "field "));
    let flat = pairs(&all);
    hash("hash", 1, 4, plain(&all), &all);
    hash("hash in a zipmap", 2, 9, text(&zipmap(&borrowed(&flat))), &all);
    hash("hash in a ziplist", 4, 13, text(&ziplist(&borrowed(&flat))), &all);
    hash("hash in a listpack", 10, 16, text(&listpack(&borrowed(&flat))), &all);
    hash("long hash", 9, 4, plain(&long), &long);
    let names = many(300, "n");
    let flat = pairs(&names);
    hash("hash in a zipmap that does not count", 2, 9, text(&zipmap(&borrowed(&flat))), &names);
    let mut dated = |what: &str, version: u16, kind: u8, value: Vec<u8>, names: &[Vec<u8>]| {
        let mut commands = commands("HSET", &pairs(names));
        for (index, name) in names.iter().enumerate().filter(|(index, _)| index % 2 == 1) {
            let mut command = line(&format!("HPEXPIREAT k {} FIELDS 1", UNTIL + index as u64));
            command.push(name.clone());
            commands.push(command);
        }
        cases.push(Case { what: what.to_owned(), version, kind, value, commands });
    };
    let until = |index: usize| if index % 2 == 1 { UNTIL + index as u64 } else { 0 };
    let after = |index: usize| if index % 2 == 1 { index as u64 } else { 0 };
    let written = |names: &[Vec<u8>],
                   before: &dyn Fn(usize) -> Vec<u8>,
                   behind: &dyn Fn(usize) -> Vec<u8>| {
        let flat = pairs(names);
        let field = |(index, pair): (usize, &[Vec<u8>])| {
            [before(index), text(&pair[0]), text(&pair[1]), behind(index)].concat()
        };
        counted(flat.chunks(2).enumerate().map(field).collect())
    };
    let none = |_: usize| Vec::new();
    for (what, names) in
        [("hash with times", &all), ("long hash with times", &long[..9000].to_vec())]
    {
        // 22: each time as it is; 24: how long after the least one, and one more.
        let early = written(names, &|index| length(until(index), As::Eight), &none);
        dated(&format!("{what}, early"), 12, 22, early, names);
        let from_least = written(names, &|index| number(after(index)), &none);
        let value = [(UNTIL + 1).to_le_bytes().to_vec(), from_least].concat();
        dated(what, 12, 24, value, names);
        let valkey = |index: usize| {
            let until = if index % 2 == 1 { UNTIL + index as u64 } else { u64::MAX };
            until.to_le_bytes().to_vec()
        };
        dated(&format!("{what}, Valkey's"), 80, 22, written(names, &none, &valkey), names);
    }
    let triple = |(index, pair): (usize, &[Vec<u8>])| {
        [pair[0].clone(), pair[1].clone(), until(index).to_string().into_bytes()]
    };
    let flat: Strings = pairs(&all).chunks(2).enumerate().flat_map(triple).collect();
    let pack = text(&listpack(&borrowed(&flat)));
    dated("hash with times in a listpack, early", 12, 23, pack.clone(), &all);
    let least = (UNTIL + 1).to_le_bytes().to_vec();
    dated("hash with times in a listpack", 12, 25, [least, pack].concat(), &all);
}

/// The time of the model's world.
const NOW: u64 = 1_780_000_000_000;

fn raw_id(ms: u64, seq: u64) -> Vec<u8> {
    [ms.to_be_bytes(), seq.to_be_bytes()].concat()
}

/// A node with entries of one field, every third of which has been deleted, from `base` on.
fn node(base: u64, count: u64) -> Vec<u8> {
    let gone = (0..count).filter(|entry| entry % 3 == 2).count() as u64;
    let mut elements: Strings = Vec::new();
    let mut add = |text: String| elements.push(text.into_bytes());
    for head in [count - gone, gone, 1] {
        add(head.to_string());
    }
    add("f".to_owned());
    add("0".to_owned());
    for entry in 0..count {
        let (is_gone, has_same) = (u64::from(entry % 3 == 2), entry % 2 == 0);
        add((is_gone + if has_same { 2 } else { 0 }).to_string());
        add(entry.to_string());
        add("0".to_owned());
        if has_same {
            add(format!("value {entry}"));
            add("4".to_owned());
        } else {
            for word in ["2", "f", "1", "other", "name"] {
                add(word.to_owned());
            }
            add("8".to_owned());
        }
    }
    [text(&raw_id(base, 0)), text(&listpack(&borrowed(&elements)))].concat()
}

fn entries(base: u64, count: u64, commands: &mut Vec<Vec<Vec<u8>>>) {
    for entry in (0..count).filter(|entry| entry % 3 != 2) {
        let id = format!("{}-0", base + entry);
        if entry % 2 == 0 {
            let mut command = line(&format!("XADD k {id} f"));
            command.push(format!("value {entry}").into_bytes());
            commands.push(command);
        } else {
            commands.push(line(&format!("XADD k {id} f 1 other name")));
        }
    }
}

fn streams(cases: &mut Vec<Case>) {
    for (version, kind, nodes, per_node) in
        [(9, 15, 2, 9), (10, 19, 2, 9), (11, 21, 2, 9), (11, 21, 60, 300), (9, 15, 0, 0)]
    {
        let mut commands = Vec::new();
        let mut written = Vec::new();
        for index in 0..nodes {
            written.push(node(1000 * (index + 1), per_node));
            entries(1000 * (index + 1), per_node, &mut commands);
        }
        let live = commands.len() as u64;
        let last = 1_000_000;
        let mut value = counted(written);
        let mut add = |bytes: Vec<u8>| value.extend_from_slice(&bytes);
        [live, last, 5].iter().for_each(|fact| add(number(*fact)));
        let is_new = kind > 15;
        let first = if nodes == 0 { 0 } else { 1000 };
        if is_new {
            [first, 0, 1002, 0, live + 77].iter().for_each(|fact| add(number(*fact)));
        }
        if nodes == 0 {
            commands.push(line("XGROUP CREATE k g 7-7 MKSTREAM"));
            commands.push(line("XSETID k 1000000-5"));
            commands.push(line("XGROUP DESTROY k g"));
        } else {
            let facts = if is_new {
                format!(" ENTRIESADDED {} MAXDELETEDID 1002-0", live + 77)
            } else {
                String::new()
            };
            commands.push(line(&format!("XSETID k 1000000-5{facts}")));
        }
        let groups = if nodes == 0 { 0 } else { 2 };
        add(number(groups));
        for number in 0..groups {
            group(number, kind, &mut value, &mut commands);
        }
        let what = format!("stream {kind} of {nodes} nodes");
        cases.push(Case { what, version, kind, value, commands });
    }
}

/// A group of a stream: the first has four entries pending with two consumers, others nothing.
fn group(index: u64, kind: u8, value: &mut Vec<u8>, commands: &mut Vec<Vec<Vec<u8>>>) {
    let (pending, consumers) = if index == 0 { (4, 2) } else { (0, 0) };
    let mut add = |bytes: Vec<u8>| value.extend_from_slice(&bytes);
    let name = format!("group {index}");
    add(text(name.as_bytes()));
    [1003, 0].iter().for_each(|id| add(number(*id)));
    let mut create = line("XGROUP CREATE k");
    create.extend([name.clone().into_bytes(), b"1003-0".to_vec()]);
    if kind > 15 {
        add(number(3));
        create.extend(line("ENTRIESREAD 3"));
    }
    commands.push(create);
    add(number(pending));
    for entry in [0, 1, 3, 4].iter().take(pending as usize) {
        add(raw_id(1000 + entry, 0));
        add((NOW - 5).to_le_bytes().to_vec());
        add(number(entry + 1));
    }
    add(number(consumers));
    for consumer in 0..consumers {
        let who = format!("consumer{consumer}");
        add(text(who.as_bytes()));
        add(NOW.to_le_bytes().to_vec());
        if kind == 21 {
            add(NOW.to_le_bytes().to_vec());
        }
        let own = if consumer == 0 { [0, 1] } else { [3, 4] };
        add(number(own.len() as u64));
        for entry in own {
            add(raw_id(1000 + entry, 0));
            let mut claim = line("XCLAIM k");
            claim.extend([name.clone().into_bytes(), who.clone().into_bytes()]);
            let (id, at, times) = (1000 + entry, NOW - 5, entry + 1);
            let rest = format!("0 {id}-0 TIME {at} RETRYCOUNT {times} FORCE JUSTID");
            claim.extend(line(&rest));
            commands.push(claim);
        }
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    lists(&mut cases);
    sets(&mut cases);
    sorted_sets(&mut cases);
    hashes(&mut cases);
    streams(&mut cases);
    cases
}
