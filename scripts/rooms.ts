/** A room of `src/` or `web/`: a folder, of several the one furthest in. Checked by `walls.ts`. */
export interface Room {
  holds: string
  /** Whom it may import beside itself: rooms, folders of rooms, single files of rooms. */
  may: readonly string[] | 'everything'
}

export const rooms: Readonly<Record<string, Room>> = {
  contract: { holds: 'what crosses a wire or a disk: schemas, their types, routes, error codes', may: [] },
  platform: { holds: 'small tools that know nothing of Errand: processes, files, time, figures', may: [] },
  docker: {
    holds: "Docker's API, as hub and runner speak it: requests, answers, errors",
    may: ['contract', 'platform'],
  },
  config: {
    holds: "the table of Errand's variables, and its configuration file",
    may: ['contract', 'platform', 'engine/workflow-file', 'playbooks/parse.ts'],
  },
  engine: {
    holds: 'decides what to do next, and conducts it',
    may: ['contract', 'platform', 'engine/workflow-file', 'engine/core', 'engine/runtime', 'engine/tasks'],
  },
  'engine/workflow-file': {
    holds: 'a workflow as it is written: parsed, checked, explained',
    may: ['contract', 'platform'],
  },
  'engine/core': {
    holds: 'plan, decide, record, evolve: no clock, no disk, no waiting',
    may: ['contract', 'platform', 'engine/workflow-file', 'engine/ports.ts'],
  },
  'engine/runtime': {
    holds: 'the loop around the core: commits, watches, feeds, limits',
    may: ['contract', 'platform', 'engine/workflow-file', 'engine/core', 'engine/ports.ts', 'engine/api.ts'],
  },
  'engine/tasks': {
    holds: 'a coding task and its tries: what follows from its log',
    may: ['contract', 'platform'],
  },
  stores: {
    holds: 'what is kept: runs, outputs, accounts, secrets',
    may: ['contract', 'platform', 'config', 'engine/ports.ts'],
  },
  blueprints: {
    holds: 'requests into workflows, one file each',
    may: ['contract', 'platform', 'forge/marks.ts', 'forge/pull-request-body.ts'],
  },
  playbooks: {
    holds: 'how a repository is prepared and tested: read, chosen, gone through; figures out of test results',
    may: ['contract', 'platform', 'engine/workflow-file'],
  },
  forge: { holds: 'GitHub, Gitea and GitLab behind one interface', may: ['contract', 'platform'] },
  client: { holds: 'the typed API client', may: ['contract', 'platform'] },
  actions: {
    holds: 'what a step can do on a machine, one file each',
    may: ['contract', 'platform', 'runner/ports.ts'],
  },
  agents: {
    holds: 'coding agents, one folder each',
    may: ['contract', 'platform', 'config', 'runner/ports.ts'],
  },
  runner: {
    holds: 'carries out attempts so that nothing is lost',
    may: [
      'contract',
      'platform',
      'docker',
      'config',
      'actions',
      'agents',
      'playbooks',
      'forge',
      'engine/ports.ts',
    ],
  },
  compat: {
    holds: "what speaks older systems' shapes: host agents over HTTP, /jobs, the agent API",
    may: ['contract', 'platform', 'engine/ports.ts', 'engine/workflow-file', 'runner/ports.ts'],
  },
  hub: {
    holds: 'the control plane: start-hub, API, auth, fleet, bots, agents, tasks, ops',
    may: ['contract', 'platform', 'docker', 'config', 'engine', 'blueprints', 'stores', 'compat', 'forge'],
  },
  cli: {
    holds: 'the command line, one file a command; the only room that joins hub and runner',
    may: 'everything',
  },
  library: { holds: 'what programs that embed Errand do without a hub: a coding task', may: 'everything' },
  'index.ts': { holds: "the library's face", may: 'everything' },
  web: { holds: "the dashboard, of contract's types alone", may: ['contract'] },
}

/** The table as it stands in ARCHITECTURE.md. */
export function roomsTable(): string {
  const rows = Object.entries(rooms).map(([name, { holds, may }]) => {
    const whom = may === 'everything' ? 'everything' : may.length === 0 ? 'nothing of ours' : may.join(', ')
    return `| ${name} | ${holds} | ${whom} |`
  })
  return ['| room | holds | may import |', '|---|---|---|', ...rows].join('\n')
}

/** Circles of files that are meant, each with its reason; three at most. Files that import each other's types alone make none. */
export const allowedCircles: readonly { files: readonly string[]; why: string }[] = []

/** Pairs of folders that import each other as yet, each with its reason. */
export const allowedPairs: readonly { folders: readonly [string, string]; why: string }[] = []

/** Short files, or folders of them, that stand apart from the one file that imports them, each with its reason. */
export const smallApart: readonly { where: string; why: string }[] = [
  { where: 'src/actions', why: 'an action is a file' },
  { where: 'src/cli/startup', why: 'the build starts with each' },
  { where: 'src/cli/commands/runner/runner-enroll.ts', why: 'a command is a file' },
  { where: 'src/cli/local/killed-commands.ts', why: 'loaded only where a command was killed' },
  { where: 'src/cli/doctor/environment.ts', why: 'checks of one subject are a file' },
]
