/** The table by which links are followed, for all kinds of object that there are. */
import { type Followers, traceFollowers } from "../trace/reach.ts";
import { treeLinks } from "../world/links.ts";

export const followers: Followers = { ...traceFollowers, ...treeLinks };
