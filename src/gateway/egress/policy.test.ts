import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { placeOf } from "../../scope/network.ts";
import type { Grants } from "../../scope/registry.ts";
import { kindOf, mayLead } from "./addresses.ts";
import { forward } from "./classes.ts";
import { judge } from "./policy.ts";

const of = (place: string, network: Grants["network"], hosts: string[] = []) =>
  judge(placeOf(place)!, { readOnly: [], writable: [], ...(network && { network }), hosts });

test("names of the known kinds pass on the ports of HTTP, and are repeatable; all others are irreversible and refused", () => {
  for (const [place, kind] of [
    [`${forward("org.npmjs.registry")}:443`, "registry"],
    [`${forward("org.pypi")}:80`, "registry"],
    ["github.com:443", "git"],
    ["raw.githubusercontent.com:443", "git"],
    ["api.anthropic.com:443", "provider"],
    ["chatgpt.com:443", "provider"],
  ] as const)
    expect(of(place, "proxy")).toMatchObject({ allowed: true, class: kind, tier: "repeatable" });
  for (const place of [
    "example.com:443",
    "github.com:22",
    "uploads.github.com:443",
    `upload.${forward("org.pypi")}:443`,
    "evil-github.com:443",
  ])
    expect(of(place, "proxy")).toMatchObject({ allowed: false, class: "other", tier: "irreversible" });
});

test("what the user names passes too, and stays irreversible", () => {
  const hosts = ["example.com", "*.corp.example:8443"];
  expect(of("example.com:443", "proxy", hosts)).toMatchObject({ allowed: true, tier: "irreversible", named: true });
  expect(of("a.corp.example:8443", "proxy", hosts)).toMatchObject({ allowed: true, named: false });
  expect(of("other.com:443", "proxy", hosts).allowed).toBe(false);
});

test("a refusal says which option allows it; with only the gateway nothing passes", () => {
  expect(of("example.com:22", "proxy").sentence).toContain("--allow-host example.com:22`");
  expect(of("example.com:443", "proxy").sentence).toContain("--allow-host example.com`");
  const none = of("github.com:443", "gateway", ["github.com"]);
  expect([none.allowed, none.sentence]).toEqual([false, expect.stringContaining("--network proxy`")]);
  expect(of("github.com:443", undefined).allowed).toBe(false);
});

test("addresses are told apart, in whatever form they have another in them", () => {
  const kinds: { [address: string]: string } = {
    "93.184.216.34": "public",
    "2606:4700::1111": "public",
    "10.1.2.3": "private",
    "172.31.0.1": "private",
    "192.168.0.1": "private",
    "100.64.0.1": "private",
    "fd00:ec2::254": "private",
    "127.0.0.1": "local",
    "0.0.0.0": "local",
    "::1": "local",
    "::": "local",
    "::ffff:127.0.0.1": "local",
    "::ffff:a9fe:a9fe": "special",
    "::ffff:0:10.0.0.1": "private",
    "::5efe:169.254.169.254": "special",
    "64:ff9b::10.0.0.1": "private",
    "2002:7f00:1::": "local",
    "169.254.169.254": "special",
    "fe80::1%eth0": "special",
    "224.0.0.1": "special",
    "255.255.255.255": "special",
    nonsense: "special",
  };
  for (const [address, kind] of Object.entries(kinds)) expect([address, kindOf(address)]).toEqual([address, kind]);
  for (const own of Object.values(networkInterfaces()).flat())
    expect(["local", "special"]).toContain(kindOf(own!.address));
});

test("a name leads into a private network only if the user named it, to this machine only as localhost, to link-local addresses never", () => {
  expect(mayLead("a.example", "93.184.216.34", false)).toBe(true);
  expect(mayLead("a.example", "10.0.0.1", false)).toBe(false);
  expect(mayLead("a.example", "10.0.0.1", true)).toBe(true);
  expect(mayLead("a.example", "127.0.0.1", true)).toBe(false);
  expect(mayLead("localhost", "127.0.0.1", true)).toBe(true);
  expect(mayLead("localhost", "127.0.0.1", false)).toBe(false);
  expect(mayLead("a.example", "169.254.169.254", true)).toBe(false);
  expect(mayLead("169.254.169.254", "169.254.169.254", true)).toBe(true);
});
