//! A status as a monitoring system collects it.
//!
//! Source: <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.

use std::fmt::Write;

use serde_json::Value;

/// One family of metrics: each service's, unless it has no figure for it.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    figure: fn(&Value) -> Option<f64>,
}

const OF_SERVICES: [Family; 8] = [
    Family {
        name: "curfew_service_ready",
        kind: "gauge",
        help: "Whether the service is ready, or the task done.",
        figure: |service| {
            Some(f64::from(u8::from(matches!(service["state"].as_str(), Some("ready" | "done")))))
        },
    },
    Family {
        name: "curfew_service_restarts",
        kind: "counter",
        help: "How often the service was started again by itself.",
        figure: |service| service["restarts"].as_f64(),
    },
    Family {
        name: "curfew_service_failed_probes",
        kind: "gauge",
        help: "How many probes failed in a row.",
        figure: |service| service["failed_probes"].as_f64(),
    },
    Family {
        name: "curfew_service_strays",
        kind: "gauge",
        help: "Living processes that the service's leader left behind.",
        figure: |service| service["strays"].as_f64(),
    },
    Family {
        name: "curfew_service_memory_bytes",
        kind: "gauge",
        help: "Memory in use.",
        figure: |service| service["memory_bytes"].as_f64(),
    },
    Family {
        name: "curfew_service_memory_peak_bytes",
        kind: "gauge",
        help: "The most memory that ever was in use.",
        figure: |service| service["memory_peak_bytes"].as_f64(),
    },
    Family {
        name: "curfew_service_cpu_seconds",
        kind: "counter",
        help: "CPU time used.",
        figure: |service| service["cpu_ms"].as_f64().map(|used| used / 1000.0),
    },
    Family {
        name: "curfew_service_tasks",
        kind: "gauge",
        help: "Processes and threads.",
        figure: |service| service["tasks"].as_f64(),
    },
];

/// The whole text.
pub(super) fn metrics(system: &Value, services: &[Value]) -> String {
    let mut text = String::new();
    let name = label(system["name"].as_str().unwrap_or_default());
    let mut one = |metric: &str, help: &str, value: f64| {
        let _ = writeln!(
            text,
            "# TYPE {metric} gauge\n# HELP {metric} {help}\n{metric}{{system=\"{name}\"}} {value}"
        );
    };
    one(
        "curfew_ready",
        "Whether all that is essential is ready.",
        f64::from(u8::from(system["ready"] == true)),
    );
    let is_stopping = system["phase"] == "stopping";
    one("curfew_stopping", "Whether the system is being stopped.", f64::from(u8::from(is_stopping)));
    one("curfew_uptime_seconds", "Since curfew began.", seconds(&system["uptime_ms"]).unwrap_or_default());
    if let Some(left) = seconds(&system["stop"]["left_ms"]) {
        one("curfew_stop_left_seconds", "What is left of the stop's budget.", left);
    }
    for Family { name: metric, kind, help, figure } in OF_SERVICES {
        let total = if kind == "counter" { "_total" } else { "" };
        let mut is_first = true;
        for service in services {
            let Some(value) = figure(service) else { continue };
            if std::mem::take(&mut is_first) {
                let _ = writeln!(text, "# TYPE {metric} {kind}\n# HELP {metric} {help}");
            }
            let service = label(service["name"].as_str().unwrap_or_default());
            let _ = writeln!(text, "{metric}{total}{{system=\"{name}\",service=\"{service}\"}} {value}");
        }
    }
    text.push_str("# TYPE curfew_service_state stateset\n# HELP curfew_service_state Where the service is in its life.\n");
    for service in services {
        let [of, state] = ["name", "state"].map(|key| label(service[key].as_str().unwrap_or_default()));
        let metric = "curfew_service_state";
        let _ = writeln!(text, "{metric}{{system=\"{name}\",service=\"{of}\",{metric}=\"{state}\"}} 1");
    }
    text.push_str("# EOF\n");
    text
}

fn seconds(milliseconds: &Value) -> Option<f64> {
    milliseconds.as_f64().map(|milliseconds| milliseconds / 1000.0)
}

fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_are_families_each_with_its_type_and_an_end() {
        let system = json!({ "name": "demo", "phase": "running", "ready": true, "uptime_ms": 1500 });
        let services = [
            json!({ "name": "api", "state": "ready", "restarts": 2, "strays": 0, "cpu_ms": 250 }),
            json!({ "name": "db", "state": "failed", "restarts": 0 }),
        ];
        let text = metrics(&system, &services);
        for line in [
            "curfew_ready{system=\"demo\"} 1",
            "curfew_uptime_seconds{system=\"demo\"} 1.5",
            "# TYPE curfew_service_restarts counter",
            "curfew_service_restarts_total{system=\"demo\",service=\"api\"} 2",
            "curfew_service_ready{system=\"demo\",service=\"db\"} 0",
            "curfew_service_cpu_seconds_total{system=\"demo\",service=\"api\"} 0.25",
            "curfew_service_state{system=\"demo\",service=\"db\",curfew_service_state=\"failed\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in {text}");
        }
        assert!(text.ends_with("# EOF\n") && !text.contains("memory"), "{text}");
        let families: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let mut once = families.clone();
        once.dedup();
        assert_eq!(families, once);
    }
}
