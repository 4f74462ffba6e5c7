//! The table of MESSAGE_IDs, the documentation, the source and the catalogs know the same events.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use curfew::log::MESSAGE_IDS;

use crate::lab::Lab;

const CATALOGS: [&str; 2] = ["curfew.catalog", "curfew.ru.catalog"];

/// A file of the project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn table() -> BTreeSet<String> {
    MESSAGE_IDS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// The events of docs/events.md, each with its fields.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = text("docs/events.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, row)| {
        let fields = row.split(" | ").nth(1).unwrap_or_default().split(", ");
        let fields = fields.map(|field| field.trim_matches([' ', '|']).to_owned());
        (name.to_owned(), fields.filter(|field| !field.is_empty()).collect())
    })
    .collect()
}

/// The events that the source says: `event = "…"`, and the like.
fn in_the_source() -> BTreeSet<String> {
    let mut folders = vec![project("src")];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                // Unit tests say events of their own.
                let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                for start in ["event = \"", "event, service) = (\""] {
                    found.extend(text.split(start).skip(1).filter_map(|rest| {
                        let (name, _) = rest.split_once('"')?;
                        name.contains('.').then(|| name.to_owned())
                    }));
                }
            }
        }
    }
    found
}

/// The entries of a catalog, by their ids.
fn entries(catalog: &str) -> BTreeMap<String, String> {
    let text = text(&format!("deploy/systemd/{catalog}"));
    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let mut entries = BTreeMap::new();
    for entry in lines.split("\n-- ").skip(1) {
        let (id, body) = entry.split_once('\n').expect("an entry has more than its id");
        let twice = entries.insert(id.to_owned(), body.to_owned());
        assert!(twice.is_none(), "{catalog} has {id} twice");
    }
    entries
}

#[test]
fn every_event_of_the_source_is_in_the_documentation_and_in_the_table() {
    let (table, said) = (table(), in_the_source());
    let documented: BTreeSet<String> = documented().into_keys().collect();
    assert_eq!(said, documented, "the source (left) and docs/events.md");
    // The table may have more: the id of an event that is no more is not given to another.
    let missing: Vec<&String> = said.difference(&table).collect();
    assert!(
        missing.is_empty(),
        "{missing:?}: give each an id in src/log/message_id.rs and an entry in each catalog in deploy/systemd"
    );
}

#[test]
fn each_catalog_has_an_entry_for_every_event_and_no_other() {
    for catalog in CATALOGS {
        let entries = entries(catalog);
        for (name, id) in MESSAGE_IDS {
            assert!(entries.contains_key(id), "{catalog} has no entry for {name}, {id}");
        }
        assert_eq!(entries.len(), MESSAGE_IDS.len(), "{catalog} has entries that no event has");
    }
}

#[test]
fn an_entry_names_only_fields_that_its_event_has() {
    let documented = documented();
    for catalog in CATALOGS {
        let entries = entries(catalog);
        for (name, id) in MESSAGE_IDS {
            for word in entries[id].split('@').skip(1).step_by(2) {
                let field =
                    word.strip_prefix("CURFEW_").unwrap_or_else(|| panic!("{catalog}, {name}: @{word}@"));
                let field = field.to_lowercase();
                let Some(fields) = documented.get(name) else { continue };
                let known = field == "service" || fields.contains(&field);
                assert!(known, "{catalog}: {name} has no field {field}: {fields:?}");
            }
        }
    }
}

#[test]
fn an_entry_says_what_happened_and_more_than_that() {
    for catalog in CATALOGS {
        for (id, body) in entries(catalog) {
            let (head, explanation) = body.split_once("\n\n").unwrap_or_else(|| panic!("{catalog}: {id}"));
            let head: Vec<&str> = head.lines().collect();
            assert!(head[0].starts_with("Subject: ") && head[1] == "Defined-By: curfew", "{catalog}: {id}");
            assert!(explanation.trim().len() > 30, "{catalog}: {id} explains nothing");
        }
    }
}

/// The entry for one event, as journald gets it from curfew.
const MESSAGE: &str = "MESSAGE=still there 3s after SIGTERM\nPRIORITY=4\nMESSAGE_ID=@ID@\n\
    CURFEW_SERVICE=api\nCURFEW_SIGNAL=TERM\nCURFEW_STAGE=1\nCURFEW_WAITED_MS=3000\n";

/// Installs the catalogs inside.
#[track_caller]
pub(crate) fn install(lab: &Lab) {
    for catalog in CATALOGS {
        let path = format!("/usr/local/lib/systemd/catalog/{catalog}");
        lab.write(&path, &text(&format!("deploy/systemd/{catalog}")));
    }
    let update = lab.run(["journalctl", "--update-catalog"]).succeeds();
    assert_eq!(update.stderr, "", "it has no complaint");
}

/// What journalctl shows and explains to somebody who reads this language: entries with this field.
#[track_caller]
pub(crate) fn explained(lab: &Lab, language: &str, field: &str) -> String {
    let locale = format!("LC_MESSAGES={language}.UTF-8");
    lab.run(["env", &locale, "journalctl", "--catalog", field]).succeeds().stdout
}

/// Sees to it that there is Russian inside. False: that cannot be had, and it was said.
#[track_caller]
pub(crate) fn has_russian(lab: &Lab) -> bool {
    if lab.run(["locale", "-a"]).stdout.contains("ru_RU.utf8") {
        return true;
    }
    let made = lab.run(["localedef", "-i", "ru_RU", "-f", "UTF-8", "ru_RU.UTF-8"]);
    if !made.status.success() {
        println!("skipped: the Russian half: there is no Russian locale: {}", made.stderr);
    }
    made.status.success()
}

#[test]
fn journalctl_explains_an_entry_in_english_and_in_russian() {
    let Some(lab) = Lab::boot() else { return };
    install(&lab);
    let list = lab.run(["journalctl", "--list-catalog"]).succeeds().stdout;
    for (name, id) in MESSAGE_IDS {
        assert!(list.contains(id), "{name} is not in the catalog");
    }
    let id = curfew::log::message_id("stage.expired").unwrap();
    let message = lab.file("message", &MESSAGE.replace("@ID@", id));
    lab.run(["sh", "-c", &format!("logger --journald <{message}")]).succeeds();
    lab.run(["journalctl", "--sync"]).succeeds();
    let field = format!("MESSAGE_ID={id}");
    let english = explained(&lab, "en_US", &field);
    assert!(english.contains("Subject: api did not stop in time"), "{english}");
    assert!(english.contains("SIGTERM, stage 1 of its schedule"), "{english}");
    if has_russian(&lab) {
        let russian = explained(&lab, "ru_RU", &field);
        assert!(russian.contains("Subject: Служба api не остановилась вовремя"), "{russian}");
        assert!(russian.contains("послан SIGTERM (этап 1 её расписания)"), "{russian}");
    }
}
