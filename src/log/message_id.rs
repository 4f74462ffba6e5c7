/// The `MESSAGE_ID=` of every event, by the event's name, in the order of the names.
///
/// They are what `journalctl MESSAGE_ID=…` and the catalogs in `deploy/systemd` find an entry by. An event that is here keeps its
/// id for ever, also when its sentence changes; a new one gets a new one (`systemd-id128 new`), and an entry in each catalog.
///
/// Source: systemd.journal-fields(7), `MESSAGE_ID=`: a random 128-bit id, in 32 lower-case hexadecimal digits.
pub const MESSAGE_IDS: [(&str, &str); 85] = [
    ("budget.shrunk", "a27bb188ff48421c9a9a86d4cc49f853"),
    ("cgroup.divided", "5bd59c9da64445fdb9b37d91260ae170"),
    ("cgroup.frozen", "4261fd88a9b74eeeab8205dd7cc52c4a"),
    ("cgroup.left", "0c257037c4a84377882107ee295bad6a"),
    ("cgroup.none", "41aaf7cb528a421da96879daef28408a"),
    ("cgroup.refused", "922c0f15be5248e7b246a68a13d1a0a2"),
    ("cgroup.removed", "a8a9141a25e9498c95600ad7ebabf6d5"),
    ("cgroup.thawed", "ac2ae6ba6fab4a09b7e03b1099ea2d75"),
    ("cgroup.unwatched", "2fbe296c54874f4aab16906b0604a4ec"),
    ("control.none", "0c4dc69059f046a3b52121ac91db0a28"),
    ("control.request", "3bfcd174bfb2476a80171d52cb19738b"),
    ("control.taken", "cacdd6e6711c47e4b8af5796bb1d680c"),
    ("curfew.started", "80f7db1069ee45cc84e957b16962e45b"),
    ("deadline.learnt", "736e76c94cc1456888c68345f24f5e47"),
    ("deadline.unknown", "975bc20886c24648bdcab58dca2da3d3"),
    ("death.held", "ded3a5386b614b8b892c4225d1c0772b"),
    ("dependency.failed", "88c7fd27f41f44f0af9d37f6c4b39f12"),
    ("drain.begun", "0a99f1fa191c4847bfc9e45237c1aace"),
    ("environment.unknown", "a6eca95ba441439db10edc1d7f755633"),
    ("extend.heard", "2a7e95098024405caa325eaf8970f1e8"),
    ("extend.unheard", "11b0b2d6a39142e09af0d98c9d36ae9e"),
    ("hook.ended", "a86d267a64d34acabcfdd5ae5dee2264"),
    ("hook.output", "24ee9f68dc6045a19b2b771bd9822d9e"),
    ("hook.started", "c864ed2d3592458eb06b87b918fd9710"),
    ("log.dropped", "90cb2cfa7b5849e4ba1fca8b3532f43f"),
    ("notify.failed", "db26419a52854cdd8bd4d9d9b9fbcbac"),
    ("notify.nonsense", "678f598501424086bac5884162271871"),
    ("notify.refused", "a21a2b5bfd4b4fcc89a51d7a067a74d7"),
    ("null.missing", "8d740506abb74102bdba7a102ad02cd8"),
    ("output.failed", "ddd0434afddf4fd192f8bd34ae950418"),
    ("output.lost", "ec2f4fde9a104c3f9421451e2237390d"),
    ("output.reopened", "ef04b704a11e454c9511a448fc6e51b2"),
    ("output.resumed", "5c27b37b0f3c45668fec9b891718dfc5"),
    ("output.uncarried", "e0c81e4b54124614ac9d13157bda7e6c"),
    ("probe.failed", "4e0ffa901f394444828c6a53482a6fff"),
    ("probe.recovered", "94e21fb8d31a4f7893e1c93edd6bd318"),
    ("reload.applied", "98606d24acc24360bd0ea7918847fe1b"),
    ("reload.complete", "4c767486b60044c4a32403d80feb4afd"),
    ("reload.later", "4220cc615d084531897a547b9c0f180c"),
    ("reload.refused", "8dbd7ab39f984c12a8b237b2e4fc71ae"),
    ("reload.requested", "158e642cff2746de8a19425ac32bc960"),
    ("report.failed", "6ff0c642b24a402d8ce393e2c1abd70b"),
    ("report.unwritable", "0aea17b3d80a4622af33b7714e9139eb"),
    ("request.refused", "c36ca2ef88d64cfca9a47f28bcbbf9a1"),
    ("restart.limit", "a9f53b3221f04260b29c5532e2e88983"),
    ("restart.planned", "087dc199a011479f9a54a866f3f29d84"),
    ("schedule.too-long", "d528688f4a4c444c895a56e8cbdc0b85"),
    ("service.asked", "a6e904b83a304fd3bf8cf73da71fa155"),
    ("service.blamed", "c23e10eb9aec4c1b95c74b40e9a1dbfe"),
    ("service.daemonised", "23be7eca1f974fab90bf8653dcc9d96c"),
    ("service.down", "f8dad3d4c1a34afc9273a6b453657c3e"),
    ("service.end-held", "b27d29ab2b9f4c85992782c2c497f5dc"),
    ("service.ended", "52b4698292444f62b6b30331ddbe1281"),
    ("service.failing", "25bf5e3ae71a4f979affdba6021e7795"),
    ("service.lingers", "5204816cbd7647d9b943e4eb1cca330c"),
    ("service.moved", "77c96241f0ef491fbbe49050caa7f06c"),
    ("service.ready", "d6f11d4d5b0742a0bf16260e40702ad7"),
    ("service.reloading", "2417764b21d644c1a264701164e5e617"),
    ("service.start-failed", "882cba8c14f74c42a13aedf9d2ac2a8e"),
    ("service.started", "bcc7908d5e314fb78ac67dd734eb00da"),
    ("service.status", "308af3bf1cd5428e89c3dcdb7be52697"),
    ("service.stopping", "b9ccc893434b45f4b83edfe69d9487ef"),
    ("services.stopped", "4ae20ee0b0b44b6d926152a869f91c13"),
    ("signal.forwarded", "8c85c6e4a0104856b1653142c027868c"),
    ("signal.ignored", "713d1654da0a493898566fccf7f097ed"),
    ("signal.refused", "b6e95c39baa74c708a84ed91e961ed97"),
    ("socket.missing", "205bd7d06468487da66f9af4db8ac327"),
    ("socket.none", "a5f08f86c1ba48dd8ae2b7f46925cc6e"),
    ("stage.expired", "58a029b85023403b90c69f5d664fc230"),
    ("stage.run", "55a21f984c2246d68141526ea9365f31"),
    ("stage.sent", "cd535fbb60ab44d480e13ac1eebfe3a7"),
    ("stop.complete", "60799f69a3c442df96c92833ed8e8c4c"),
    ("stop.escalated", "0f360da654244177bbd1fb6b7ce01311"),
    ("stop.requested", "400137e5cc574512bb859de47d5b1280"),
    ("stop.unheard", "1e229ebfae904947aea43913ed7798c9"),
    ("stray.ended", "0c9765412fce4dae9cce810571145e91"),
    ("stray.found", "368d7a91777248e986f44abc2f99ddab"),
    ("stray.hidden", "e5c14c4e177945688e8f9445ef732eea"),
    ("stray.killed", "48f515108184450494f1fc0a37fd5329"),
    ("stray.more", "192bc582e19b425fae922567fe803a4a"),
    ("stray.swept", "e8c2c1d580ec47a59d12fd1aa1f06768"),
    ("subreaper.refused", "3de9212d0df94efe922f6da7d2bb1ff5"),
    ("survivor.left", "12c5706db0a6435da484d6d537dbbe61"),
    ("system.ready", "e32afeca90f54988b2bd9f8ef3faf1a3"),
    ("wait.extended", "14094993b20c47bfb86247f969e3f261"),
];

/// The `MESSAGE_ID=` of an event; `None`: there is no such event.
pub fn message_id(event: &str) -> Option<&'static str> {
    let place = MESSAGE_IDS.binary_search_by(|(name, _)| (*name).cmp(event)).ok()?;
    Some(MESSAGE_IDS[place].1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_in_order_so_that_they_are_found_and_no_id_is_given_twice() {
        assert!(MESSAGE_IDS.is_sorted_by(|(one, _), (next, _)| one < next));
        for (name, id) in MESSAGE_IDS {
            assert_eq!(message_id(name), Some(id));
        }
        let ids: BTreeSet<&str> = MESSAGE_IDS.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids.len(), MESSAGE_IDS.len());
        assert_eq!(message_id("no.event"), None);
    }

    #[test]
    fn an_id_is_written_as_the_journal_wants_it() {
        for (name, id) in MESSAGE_IDS {
            let is_hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            assert!(id.len() == 32 && id.bytes().all(is_hexadecimal), "{name}: {id}");
        }
    }
}
