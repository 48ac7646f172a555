/** A profile of AppArmor's by which the scope helper may make user namespaces where other programs may not (Ubuntu, from 23.10 on). */

const NAME = "shepherd-scope";
/** Where it is installed. */
export const PROFILE = `/etc/apparmor.d/${NAME}`;

/** What installs the profile that comes on standard input, and what takes it away. */
export const INSTALL = `sudo tee ${PROFILE} >/dev/null && sudo apparmor_parser -r ${PROFILE}`;
export const REMOVE = `sudo apparmor_parser -R ${PROFILE}; sudo rm ${PROFILE}`;

/** A path as a profile has it: between quotes, its own signs no pattern. */
const pattern = (path: string): string => `"${path.replace(/[\\"*?[\]{}^]/g, "\\$&")}"`;

/** The profile for a helper at this path. It allows what every program may, and user namespaces. Throws where the path cannot stand in one. */
export function profileFor(helper: string): string {
  if (/[\n\r\0]/.test(helper)) throw new Error(`${JSON.stringify(helper)} cannot stand in a profile: move it first.`);
  return `# Lets Shepherd's helper make user namespaces; all else is as for a program without a profile.
# Who can write to that program can make them too.
abi <abi/4.0>,
include <tunables/global>

profile ${NAME} ${pattern(helper)} flags=(unconfined) {
  userns,

  include if exists <local/${NAME}>
}
`;
}
