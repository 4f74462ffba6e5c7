//! How programs that go into the background are kept from it.

use std::path::Path;

/// Programs by name, and what keeps each in the foreground.
const FOREGROUND: &[(&str, &str)] = &[
    ("apache2", "start it with `-DFOREGROUND`"),
    ("apache2ctl", "start `apache2 -DFOREGROUND`"),
    ("apachectl", "start `httpd -DFOREGROUND`"),
    ("atd", "start it with `-f`"),
    ("chronyd", "start it with `-d`"),
    ("cron", "start it with `-f`"),
    ("crond", "start it with `-f`, or `-n` where that is its option"),
    ("dnsmasq", "start it with `--keep-in-foreground`"),
    ("dovecot", "start it with `-F`"),
    ("exim", "start it with `-bdf`"),
    ("exim4", "start it with `-bdf`"),
    ("gunicorn", "leave out `--daemon`"),
    ("haproxy", "leave out `-D`, and `daemon` in its configuration"),
    ("httpd", "start it with `-DFOREGROUND`"),
    ("keepalived", "start it with `-n`"),
    ("lighttpd", "start it with `-D`"),
    ("memcached", "leave out `-d`"),
    ("mongod", "leave out `--fork`, and `fork: true` in its configuration"),
    ("mysqld", "leave out `--daemonize`"),
    ("named", "start it with `-f`"),
    ("nginx", "start it with `-g 'daemon off;'`"),
    ("ntpd", "start it with `-n`"),
    ("pg_ctl", "start `postgres` itself"),
    ("pg_ctlcluster", "start it with `--foreground`"),
    ("php-fpm", "start it with `-F`"),
    ("pm2", "start `pm2-runtime`"),
    ("postfix", "start `postfix start-fg`"),
    ("proftpd", "start it with `-n`"),
    ("rabbitmq-server", "leave out `-detached`"),
    ("redis-server", "start it with `--daemonize no`"),
    ("rsyslogd", "start it with `-n`"),
    ("smbd", "start it with `--foreground --no-process-group`"),
    ("snmpd", "start it with `-f`"),
    ("squid", "start it with `-N`"),
    ("sshd", "start it with `-D`"),
    ("stunnel", "write `foreground = yes` in its configuration"),
    ("stunnel4", "write `foreground = yes` in its configuration"),
    ("supervisord", "start it with `-n`"),
    ("tor", "start it with `--RunAsDaemon 0`"),
    ("unbound", "start it with `-d`"),
    ("uwsgi", "leave out `--daemonize`"),
    ("valkey-server", "start it with `--daemonize no`"),
    ("varnishd", "start it with `-F`"),
    ("vsftpd", "start it with `-obackground=NO`"),
    ("zabbix_agentd", "start it with `-f`"),
    ("zabbix_server", "start it with `-f`"),
];

/// What to do so that `command` stays in the foreground.
pub(super) fn foreground_cure(command: &str) -> &'static str {
    let name = Path::new(command).file_name().and_then(|name| name.to_str()).unwrap_or(command);
    // `php-fpm8.2` is `php-fpm`.
    let plain = name.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.');
    let of = |name: &str| FOREGROUND.iter().find(|(known, _)| *known == name).map(|(_, cure)| *cure);
    of(name).or_else(|| of(plain)).unwrap_or("start it with its option to stay in the foreground")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cure_is_found_by_the_name_of_the_program() {
        assert_eq!(foreground_cure("/usr/sbin/nginx"), "start it with `-g 'daemon off;'`");
        assert_eq!(foreground_cure("php-fpm8.2"), "start it with `-F`");
        assert_eq!(foreground_cure("exim4"), "start it with `-bdf`");
        assert_eq!(foreground_cure("myd"), "start it with its option to stay in the foreground");
    }

    #[test]
    fn the_table_is_in_order_without_repetition() {
        assert!(FOREGROUND.is_sorted_by(|(one, _), (other, _)| one < other));
    }
}
