/** Programs by which machines, clouds and packages are run: what they delete lies outside of the project. */
import type { Arg } from "../shell/expand.ts";
import { optionsOf } from "../shell/options.ts";
import { type Here, type Program, type Programs, same } from "./program.ts";

const words = (args: readonly Arg[]): string => args.map(({ text }) => text).join(" ");
const isTrial = (args: readonly Arg[]): boolean =>
  args.some(
    ({ text }) => /^--(?:dry-?run|dryrun|check|plan|no-op|preview)(?:=|$)/.test(text) && !/=(?:none|false)$/.test(text),
  );

/** Whether the first words that are no options are these, in this order; each may be one of several. */
const begins = (args: readonly Arg[], ...verbs: RegExp[]): boolean => {
  const plain = args.filter(({ text }) => !text.startsWith("-"));
  return verbs.every((verb, at) => verb.test(plain[at]?.text ?? ""));
};

/** Any of the words that are no options. */
const says = (args: readonly Arg[], verb: RegExp): boolean =>
  args.some(({ text }) => !text.startsWith("-") && verb.test(text));

const when =
  (is: (here: Here) => boolean, reason: string): Program =>
  (here) => {
    if (!isTrial(here.args) && is(here)) here.note("outside", reason);
  };

const DELETES = /^(?:delete|del|rm|rb|remove|destroy|purge|terminate|drop|deprovision)$/;

const prisma: Program = ({ args, note }) => {
  if (
    begins(args, /^migrate$/, /^reset$/) ||
    (begins(args, /^db$/, /^push$/) && args.some(({ text }) => /^--(?:force-reset|accept-data-loss)$/.test(text)))
  )
    note("outside", "It drops a database of the application.");
};

export const SERVICES: Programs = {
  ...same("docker podman nerdctl", (here) => {
    const { args, note, call } = here;
    const { rest } = optionsOf(args, ["H", "host", "context", "c", "l", "log-level"], { stop: true });
    const [verb, ...more] = rest;
    const plain = words(rest);
    if (/^(?:system|volume|image|container|network|builder|buildx) prune\b/.test(plain))
      note("outside", "It deletes what containers of the machine left, of other projects too.");
    else if (/^volume (?:rm|remove)\b/.test(plain)) note("outside", "It deletes a volume with its data.");
    else if (
      /^compose\b/.test(plain) &&
      says(more, /^down$/) &&
      more.some(({ text }) => /^(?:-v|--volumes)$/.test(text))
    )
      note("outside", "It deletes volumes with their data.");
    else if (
      /^(?:rm|container rm)\b/.test(plain) &&
      more.some(({ text }) => /^-\w*f|^-\w*v|^--(?:force|volumes)$/.test(text))
    )
      note("outside", "It deletes containers with what is in them.");
    else if (/^(?:rmi|image rm)\b/.test(plain)) note("limited", "It deletes images, which can be built again.");
    // Inside of a container: what it holds, and what of the machine is mounted there.
    if (verb?.text === "exec" || verb?.text === "run" || (verb?.text === "compose" && says(more, /^(?:exec|run)$/))) {
      const inner =
        verb.text === "compose" ? more.slice(more.findIndex(({ text }) => /^(?:exec|run)$/.test(text)) + 1) : more;
      const asks = optionsOf(
        inner,
        [
          "e",
          "env",
          "u",
          "user",
          "w",
          "workdir",
          "v",
          "volume",
          "p",
          "publish",
          "name",
          "network",
          "mount",
          "entrypoint",
          "env-file",
        ],
        { stop: true },
      );
      call(asks.rest.slice(1));
    }
  }),
  "docker-compose": when(
    ({ args }) => says(args, /^down$/) && args.some(({ text }) => /^(?:-v|--volumes)$/.test(text)),
    "It deletes volumes with their data.",
  ),
  ...same("kubectl oc k", (here) => {
    const { args, note, call } = here;
    if (isTrial(args)) return;
    const { rest } = optionsOf(args, ["n", "namespace", "context", "kubeconfig", "cluster", "user", "s", "server"], {
      stop: true,
    });
    if (begins(rest, /^delete$/)) note("outside", "It deletes objects of a cluster.");
    else if (begins(rest, /^drain$/)) note("outside", "It empties a node of a cluster.");
    else if (begins(rest, /^replace$/) && rest.some(({ text }) => text === "--force"))
      note("outside", "It deletes objects of a cluster, and makes them anew.");
    const at = rest.findIndex(({ text }) => text === "--");
    if (at > 0) call(rest.slice(at + 1));
  }),
  helm: when(({ args }) => begins(args, /^(?:uninstall|delete|del|un)$/), "It deletes a release from a cluster."),
  ...same("terraform tofu terragrunt", ({ args, note }) => {
    const plan = begins(args, /^plan$/);
    if (
      !plan &&
      (begins(args, /^destroy$/) ||
        begins(args, /^run-all$/, /^destroy$/) ||
        args.some(({ text }) => /^-?-destroy$/.test(text)))
    )
      note("outside", "It destroys what it has set up.");
    else if (begins(args, /^state$/, /^rm$/) || begins(args, /^workspace$/, /^delete$/))
      note("outside", "It forgets what it has set up.");
  }),
  ...same(
    "pulumi cdk sst serverless sls copilot eksctl vagrant fly flyctl heroku vercel netlify railway doctl hcloud linode-cli az gcloud cf",
    (here) => {
      const { args, name, note } = here;
      if (isTrial(args)) return;
      if (
        says(args, DELETES) ||
        args.some(({ text }) => /^(?:apps|addons|pg|domains):(?:destroy|reset|remove)$/.test(text))
      )
        note("outside", `${name} deletes what it has set up.`);
    },
  ),
  aws: (here) => {
    const { args, note } = here;
    if (isTrial(args)) return;
    const plain = words(args);
    if (/\bs3 rm\b|\bs3 rb\b/.test(plain)) note("outside", "It deletes objects of S3.");
    else if (/\bs3 sync\b.*--delete\b/.test(plain)) note("outside", "It deletes objects that are not on this side.");
    else if (args.some(({ text }) => /^(?:delete|terminate|deregister|purge)-/.test(text)))
      note("outside", "It deletes what is in a cloud.");
  },
  gsutil: when(
    ({ args }) =>
      args.some(({ text }) => /^(?:rm|rb)$/.test(text)) ||
      (says(args, /^rsync$/) && args.some(({ text }) => text === "-d")),
    "It deletes objects of a bucket.",
  ),
  ...same(
    "mc s3cmd s5cmd",
    when(
      ({ args }) =>
        begins(args, /^(?:rm|rb|del|mirror)$/) &&
        (args[0]?.text !== "mirror" || args.some(({ text }) => text === "--remove")),
      "It deletes objects of a bucket.",
    ),
  ),
  gh: when(
    ({ args }) =>
      begins(args, /^(?:repo|release|issue|secret|variable|gist|run|cache|ssh-key|label)$/, /^delete$/) ||
      (begins(args, /^api$/) && /(?:^| )(?:-X|--method)[ =]?DELETE\b/i.test(words(args))),
    "It deletes something on GitHub.",
  ),
  glab: when(({ args }) => begins(args, /./, /^delete$/), "It deletes something on GitLab."),
  npm: when(({ args }) => begins(args, /^(?:unpublish)$/), "It takes a published package back."),
  cargo: when(({ args }) => begins(args, /^yank$/), "It takes a published package back."),
  curl: ({ args, note }) => {
    const method = optionsOf(args, ["X", "request", "H", "d", "o", "u"]).value("X", "request")?.text.toUpperCase();
    const local = args.some(({ text }) => /^(?:https?:\/\/)?(?:localhost|127\.|\[::1\]|0\.0\.0\.0)/.test(text));
    if (method === "DELETE" && !local) note("outside", "It asks a server to delete something.");
    return { text: null, from: "network" };
  },
  wget: ({ args, note }) => {
    if (args.some(({ text }) => /^--method=DELETE$/i.test(text)))
      note("outside", "It asks a server to delete something.");
    return { text: null, from: "network" };
  },
  ...same(
    "http https xh",
    when(
      ({ args }) => args[0]?.text === "DELETE" && !/localhost|127\./.test(args[1]?.text ?? ""),
      "It asks a server to delete something.",
    ),
  ),
  ...same("shutdown reboot halt poweroff", ({ note }) => note("outside", "It stops the machine.")),
  systemctl: when(
    ({ args }) => begins(args, /^(?:poweroff|reboot|halt|mask|disable)$/),
    "It stops what the machine runs.",
  ),
  kill: ({ args, note }) => {
    if (args.at(-1)?.text === "-1" && args.length > 1) note("outside", "It ends every process of the user.");
  },
  crontab: when(({ args }) => args.some(({ text }) => /^-\w*r/.test(text)), "It deletes the user's timetable."),
  ...same(
    "userdel deluser groupdel",
    when(() => true, "It deletes an account of the machine."),
  ),
  ...same(
    "iptables nft ufw",
    when(
      ({ args }) => says(args, /^(?:flush|reset)$/) || args.some(({ text }) => /^(?:-F|--flush|-X)$/.test(text)),
      "It drops the rules of the machine's firewall.",
    ),
  ),
  virsh: when(
    ({ args }) => begins(args, /^(?:destroy|undefine|vol-delete|pool-delete)$/),
    "It deletes a virtual machine.",
  ),
  ...same(
    "rails rake bin/rails",
    when(
      ({ args }) => says(args, /^db:(?:drop|reset|purge|truncate_all|migrate:reset|schema:load)(?::|$)/),
      "It drops a database of the application.",
    ),
  ),
  prisma,
  artisan: when(
    ({ args }) => says(args, /^(?:migrate:(?:fresh|reset|refresh)|db:wipe)$/),
    "It drops a database of the application.",
  ),
  "manage.py": when(
    ({ args }) => says(args, /^(?:flush|reset_db|sqlflush)$/) && !says(args, /^sqlflush$/),
    "It empties a database of the application.",
  ),
  ...same(
    "kafka-topics kafka-topics.sh",
    when(({ args }) => args.some(({ text }) => text === "--delete"), "It deletes a topic."),
  ),
  consul: when(({ args }) => begins(args, /^kv$/, /^delete$/), "It deletes keys of a cluster."),
  vault: when(
    ({ args }) => begins(args, /^delete$/) || begins(args, /^kv$/, /^(?:delete|destroy|metadata)$/),
    "It deletes secrets.",
  ),
  rabbitmqctl: when(
    ({ args }) => begins(args, /^(?:reset|force_reset|delete_\w+|purge_queue)$/),
    "It deletes what a broker holds.",
  ),
  ...same("mkfs", ({ note }) => note("outside", "It makes a new file system over what is there.")),
  restic: when(({ args }) => begins(args, /^(?:forget|prune)$/), "It deletes backups."),
  borg: when(({ args }) => begins(args, /^(?:delete|prune|compact)$/), "It deletes backups."),
};
