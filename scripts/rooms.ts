/** A room: a folder of `src/` or `web/`. A file belongs to the innermost one. Checked by `walls.ts`. */
export interface Room {
  holds: string
  /** The things that it may import beside itself: rooms, folders of rooms, single files of rooms. */
  may: readonly string[] | 'everything'
}

export const rooms: Readonly<Record<string, Room>> = {
  contract: {
    holds: 'everything that crosses a wire or a disk: schemas, their types, routes, error codes',
    may: [],
  },
  platform: { holds: 'small tools that do not depend on Errand: processes, files, time, figures', may: [] },
  docker: {
    holds: "Docker's API, as hub and runner use it: requests, answers, errors",
    may: ['contract', 'platform'],
  },
  config: {
    holds: "the table of Errand's environment variables, and its configuration file",
    may: ['contract', 'platform', 'engine/workflow-file', 'playbooks/parse.ts'],
  },
  engine: {
    holds: 'decides what a run does next, and conducts the run',
    may: ['contract', 'platform', 'engine/workflow-file', 'engine/core', 'engine/runtime', 'engine/tasks'],
  },
  'engine/workflow-file': {
    holds: 'the workflow file: parses, checks and explains it',
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
    holds: 'a coding task and its tries: decides what follows from its log',
    may: ['contract', 'platform'],
  },
  stores: {
    holds: 'stored data: runs, outputs, accounts, secrets',
    may: ['contract', 'platform', 'config', 'engine/ports.ts'],
  },
  blueprints: {
    holds: 'turns requests into workflows, one file for each blueprint',
    may: ['contract', 'platform', 'forge/marks.ts', 'forge/pull-request-body.ts'],
  },
  playbooks: {
    holds:
      'how a repository is prepared and tested: reads, chooses and follows playbooks; reads test results',
    may: ['contract', 'platform', 'engine/workflow-file'],
  },
  forge: { holds: 'GitHub, Gitea and GitLab behind one interface', may: ['contract', 'platform'] },
  client: { holds: 'the typed API client', may: ['contract', 'platform'] },
  actions: {
    holds: 'what a step can do on a machine, one file for each action',
    may: ['contract', 'platform', 'runner/ports.ts'],
  },
  agents: {
    holds: 'coding agents, one folder for each',
    may: ['contract', 'platform', 'config', 'runner/ports.ts'],
  },
  runner: {
    holds: 'executes attempts, and survives restarts and disconnections without losing them',
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
    holds: 'the interfaces of older systems: host agents over HTTP, /jobs, the agent API',
    may: ['contract', 'platform', 'engine/ports.ts', 'engine/workflow-file', 'runner/ports.ts'],
  },
  hub: {
    holds: 'the control plane: start-hub, API, auth, fleet, bots, agents, tasks, ops',
    may: ['contract', 'platform', 'docker', 'config', 'engine', 'blueprints', 'stores', 'compat', 'forge'],
  },
  cli: {
    holds: 'the command line, one file for each command; the only room that combines hub and runner',
    may: 'everything',
  },
  library: { holds: 'what embedding programs do without a hub: a coding task', may: 'everything' },
  'index.ts': { holds: "the library's public interface", may: 'everything' },
  web: { holds: 'the dashboard, which uses only the types of contract', may: ['contract'] },
}

/** Returns the table for ARCHITECTURE.md. */
export function roomsTable(): string {
  const rows = Object.entries(rooms).map(([name, { holds, may }]) => {
    const whom = may === 'everything' ? 'everything' : may.length === 0 ? 'no other room' : may.join(', ')
    return `| ${name} | ${holds} | ${whom} |`
  })
  return ['| room | holds | may import |', '|---|---|---|', ...rows].join('\n')
}

/** Intended import circles, each with its reason; three at most. Imports of types alone form no circle. */
export const allowedCircles: readonly { files: readonly string[]; why: string }[] = []

/** Pairs of folders that still import each other, each with its reason. */
export const allowedPairs: readonly { folders: readonly [string, string]; why: string }[] = []

/** Short files, or folders of them, that stay apart from the one file that imports them, each with its reason. */
export const smallApart: readonly { where: string; why: string }[] = [
  { where: 'src/actions', why: 'an action is a file' },
  { where: 'src/cli/startup', why: 'the build starts with each' },
  { where: 'src/cli/commands/runner/runner-enroll.ts', why: 'a command is a file' },
  { where: 'src/cli/local/killed-commands.ts', why: 'loaded only where a command was killed' },
  { where: 'src/cli/doctor/environment.ts', why: 'checks of one subject are a file' },
]
