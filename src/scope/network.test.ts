import { expect, test } from "vitest";
import { authorityOf, covers, hostRule, lowerNetwork, meant, placeOf, ruleFor } from "./network.ts";
import { attenuate, type Grants } from "./registry.ts";

test("one place has one form, however it is written; what is none is told apart", () => {
  const of = (text: string, port?: number): string | null => {
    const place = placeOf(text, port);
    return place && authorityOf(place);
  };
  expect(of("Example.COM.:443")).toBe("example.com:443");
  expect(of("bücher.example:80")).toBe("xn--bcher-kva.example:80");
  expect(of("0x7f.1:80")).toBe("127.0.0.1:80");
  expect(of("[0:0::1]:8080")).toBe("[::1]:8080");
  expect(of("example.com", 80)).toBe("example.com:80");
  const wrong = [
    "example.com",
    ":443",
    "a b:1",
    "a:0",
    "a:65536",
    "u@a:1",
    "a/b:1",
    "*.a:1",
    "a..b:1",
    "a:1:2",
    "[::1:1",
  ];
  for (const each of wrong) expect([each, of(each)]).toEqual([each, null]);
});

test("a rule means its name or what is below it, on its port or those of HTTP", () => {
  const is = (rule: string, place: string): string | null => meant(hostRule(rule)!, placeOf(place)!);
  expect(is("Example.com", "example.com:443")).toBe("name");
  expect(is("example.com", "example.com:80")).toBe("name");
  expect(is("example.com", "example.com:8080")).toBe(null);
  expect(is("example.com", "a.example.com:443")).toBe(null);
  expect(is("example.com:8080", "example.com:8080")).toBe("name");
  expect(is("example.com:8080", "example.com:443")).toBe(null);
  expect(is("*.example.com", "a.b.example.com:443")).toBe("wildcard");
  expect(is("*.example.com", "example.com:443")).toBe(null);
  expect(is("*.example.com", "notexample.com:443")).toBe(null);
  expect(is("::1", "[::1]:80")).toBe("name");
  expect(is("[::1]:5432", "[::1]:5432")).toBe("name");
  for (const wrong of ["*", "*.", "", "a b", "http://a", "a/b", "*.127.0.0.1", "a.*.b", "a:x"])
    expect([wrong, hostRule(wrong)]).toEqual([wrong, null]);
});

test("the rule that a refusal names lets just that pass", () => {
  for (const each of ["example.com:443", "example.com:22", "10.0.0.1:80", "[::1]:5432"]) {
    const place = placeOf(each)!;
    expect(meant(hostRule(ruleFor(place))!, place)).toBe("name");
  }
});

test("a child reaches no more than its parent", () => {
  expect(covers("*.a.com", "b.a.com")).toBe(true);
  expect(covers("*.a.com", "*.b.a.com")).toBe(true);
  expect(covers("*.a.com", "*.a.com")).toBe(true);
  expect(covers("*.a.com", "a.com")).toBe(false);
  expect(covers("b.a.com", "*.a.com")).toBe(false);
  expect(covers("a.com", "a.com:443")).toBe(true);
  expect(covers("a.com", "a.com:22")).toBe(false);
  expect(covers("a.com:443", "a.com")).toBe(false);
  expect([lowerNetwork("proxy", "gateway"), lowerNetwork(undefined, "proxy"), lowerNetwork("proxy", "host")]).toEqual([
    "gateway",
    "proxy",
    "proxy",
  ]);
  const parent: Grants = { readOnly: [], writable: [], network: "proxy", hosts: ["*.a.com", "b.com:22"] };
  const of = (asked: Partial<Grants>) => {
    const { network, hosts } = attenuate(parent, asked);
    return [network, hosts];
  };
  expect(of({})).toEqual(["proxy", ["*.a.com", "b.com:22"]]);
  expect(of({ network: "host", hosts: ["x.a.com", "b.com", "c.com"] })).toEqual(["proxy", ["x.a.com"]]);
  expect(of({ network: "gateway" })).toEqual(["gateway", ["*.a.com", "b.com:22"]]);
  expect(attenuate({ readOnly: [], writable: [] }, {})).toEqual({ readOnly: [], writable: [] });
});
