// Forks of a directory by an ordinary user, in a process of that user's: node bench/scopes/user.mjs DIRECTORY PLACE SCRIPT ROUNDS. Prints figures as JSON.
import { join } from "node:path";
import { forksOf, single, whole } from "./ours.mjs";

const [tree, place, script, rounds] = process.argv.slice(2);
const forks = await forksOf(tree, join(place, "ours"));
const one = await single(forks, Number(rounds));
await forks.end();
const full = await whole(tree, join(place, "whole"), script, Number(rounds));
process.stdout.write(JSON.stringify({ ...one, ran: full.ran }));
