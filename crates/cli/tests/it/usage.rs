//! Command lines that cannot be understood, and what the tool prints about itself.

use crate::tool::{TRACKED, ok, run};

const CHANGES: [&str; 2] = ["changes", "child.avhdx"];

#[test]
fn exits_with_2_if_command_line_is_malformed() {
    for args in [
        &[][..],
        &["--since", "*", "--offset", "1X"],
        &["--since", "*", "--offset", "-1"],
        &["--since", "*", "--length", "99999999T"],
        &["--since", "*", "--length", "1KB"],
        &["--since", "*", "--max-ranges", "0"],
        &["--since", "*", "--max-ranges", "0x0"],
        &["--since", "*", "--widest", "some"],
        &["--since", "*", "--timeout", "soon"],
        &["--since", "*", "--timeout", "-1"],
        &["--since", "*", "--format", "xml"],
        &["--since", "*", "--unknown"],
        &["--since", "*", "twice.vhdx"],
        &["--since", ""],
        &["--since", "yesterday"],
        &["--since", "rctX:1"],
        &["--since", "dwg:1"],
        &["--since", "*", "--target", "1"],
        &["--since", "*", "--target", TRACKED],
    ] {
        let args = [&CHANGES[..], args].concat();
        let failed = run(&args);
        assert_eq!(failed.status, 2, "{args:?}");
        assert!(failed.line().starts_with("vhdx-rct: error 3277"), "{args:?}: {failed:?}");
        // The object is printed as soon as the format is known, wherever that stands.
        if !args.contains(&"xml") {
            for format in [&["--format", "json"][..], &["--format=json"]] {
                let last = run(&[&args[..], format].concat());
                let first = run(&[&args[..1], format, &args[1..]].concat());
                for failed in [last, first] {
                    let object = failed.object();
                    assert_eq!((failed.status, &object["NeedsFullBackup"]), (2, &false.into()));
                    assert!([32773, 32776].map(Into::into).contains(&object["ReturnValue"]));
                    let message = object["Message"].as_str().unwrap();
                    assert!(message.len() > 20 && !message.contains('\n'), "{message:?}");
                }
            }
        }
    }
    for args in
        [&["change"][..], &["info"], &["inspect"], &["map", "x"], &["sync", "x"], &["--help-me"]]
    {
        let failed = run(args);
        assert_eq!(failed.status, 2, "{args:?}");
        assert!(failed.line().starts_with("vhdx-rct: error 32773: "), "{args:?}");
    }
    let failed = run(&[]);
    assert!(failed.status == 2 && failed.err.contains("Usage:"), "{failed:?}");
}

#[test]
fn malformed_baseline_has_the_methods_code_in_every_command() {
    for args in [
        &["changes", "none.vhdx", "--since", "rctX:1"][..],
        &["map", "none.vhdx", "--since", "rctX:1", "-o", "none.svg"],
        &["sync", "none.vhdx", "--since", "rctX:1", "--to", "none.raw"],
    ] {
        let failed = run(args);
        assert_eq!(failed.status, 2, "{args:?}");
        let start =
            "vhdx-rct: error 32773 (0xC03A0029): --since: the RCT id \"rctX:1\" is malformed";
        assert!(failed.line().starts_with(start), "{failed:?}");
    }
    let failed = run(&[&CHANGES[..], &["--since", "x", "--format", "json"]].concat());
    assert_eq!((failed.status, &failed.object()["Win32Error"]), (2, &"0xC03A0029".into()));
}

#[test]
fn rejects_options_that_the_format_cannot_honor() {
    for format in ["json", "jsonl", "csv", "qemu"] {
        for option in [&["--bytes"][..], &["--widest", "3"]] {
            // The disk is not even looked for.
            let args = [&["changes", "none.vhdx", "--since", "*", "--format", format], option];
            let failed = run(&args.concat());
            assert_eq!(failed.status, 2, "{format} {option:?}");
            let message = match format {
                "json" => failed.object()["Message"].as_str().unwrap().to_owned(),
                _ => failed.line().to_owned(),
            };
            assert!(message.contains(option[0]) && message.contains(format), "{message}");
        }
    }
}

#[test]
fn inspect_rejects_sample_option() {
    let failed = run(&["inspect", "--sample", "."]);
    assert!(failed.status == 2 && failed.line().contains("--sample"), "{failed:?}");
}

#[test]
fn prints_help_completions_and_manual() {
    for args in [&["--help"][..], &["help"], &["changes", "--help"], &["--version"]] {
        assert!(ok(args).contains("vhdx-rct"), "{args:?}");
    }
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(ok(&["completions", shell]).contains("vhdx-rct"), "{shell}");
    }
    let manual = ok(&["man"]);
    for part in ["COMMAND SYNC", ".SS SYNOPSIS", "EXIT STATUS"] {
        assert!(manual.contains(part), "{part} in {manual}");
    }
    let options = "since target offset length max\\-ranges widest bytes format allow\\-unclean snapshots \
                   search\\-path confine\\-to timeout check";
    for option in options.split(' ') {
        assert!(manual.contains(&format!("\\-\\-{option}")), "{option} in {manual}");
    }
}
