import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { profileFor } from "./apparmor.ts";
import { type Host, whyDenied } from "./denied.ts";
import { findProgram } from "./tools.ts";

const settings =
  (found: { [name: string]: string }): Host["setting"] =>
  (name) =>
    found[name] ?? "";
const PLAIN: Host = {
  root: false,
  setting: settings({ "user/max_user_namespaces": "9000" }),
  userns: true,
  container: false,
  filtered: false,
  helper: "/opt/shepherd/bin/shepherd-scope-x64",
  profile: false,
};
const restricted = settings({ "kernel/apparmor_restrict_unprivileged_userns": "1" });

test.each<[string, Partial<Host>, string]>([
  [
    "the limit",
    { setting: settings({ "user/max_user_namespaces": "0" }) },
    "`sudo sysctl -w user.max_user_namespaces=10000`",
  ],
  [
    "Debian's setting",
    { setting: settings({ "kernel/unprivileged_userns_clone": "0" }) },
    "`sudo sysctl -w kernel.unprivileged_userns_clone=1`",
  ],
  ["AppArmor", { setting: restricted }, "AppArmor denies namespaces to programs without a profile"],
  ["AppArmor, and the command", { setting: restricted }, "`shepherd doctor --apparmor`"],
  ["AppArmor, with a profile that does not count", { setting: restricted, profile: true }, "is not loaded"],
  ["AppArmor, without a helper", { setting: restricted, helper: null }, "`npm run build`"],
  ["AppArmor does not hold root", { setting: restricted, root: true }, "`unshare --user"],
  ["a container", { container: true }, "`docker run --privileged`"],
  ["a container's filter", { container: true, filtered: true }, "by a filter of calls (seccomp)"],
  ["another filter", { filtered: true }, "`systemd-run --user --pty bash`"],
  ["a kernel without", { userns: false }, "This kernel has no user namespaces"],
  ["what nobody knows", {}, "(it said no); try `unshare"],
])("of %s the reason and a command are told, in one line", (_what, host, sentence) => {
  const why = whyDenied("it said no.\n", { ...PLAIN, ...host });
  expect(why).toContain(sentence);
  expect(why).not.toContain("\n");
});

const parser = findProgram("apparmor_parser");

test.skipIf(!parser)("the parser of AppArmor reads the profile, whatever the path", () => {
  const version = Number(/version (\d+)/.exec(spawnSync(parser!, ["--version"], { encoding: "utf8" }).stdout)?.[1]);
  for (const path of ["/opt/a/bin/shepherd-scope-x64", '/home/a b/{x}[y]*?^"q"\\,#@{z}/shepherd']) {
    let profile = profileFor(path);
    // An older one does not know what is to be allowed.
    if (version < 4) profile = profile.replace("abi/4.0", "abi/3.0").replace("  userns,\n", "");
    const { status, stderr } = spawnSync(parser!, ["-Q", "-K", "-S"], { input: profile });
    expect([status, stderr.toString()]).toEqual([0, expect.not.stringContaining("error")]);
  }
  expect(() => profileFor("/a\nb")).toThrow("cannot stand in a profile");
});
