import type { Command, CommandGroup } from './command.ts'

export interface Entry {
  summary: string
  load(): Promise<Command | CommandGroup>
}

/** Every command, loaded when it is called: most of the time a command takes is the loading of code. */
export const commands: Readonly<Record<string, Entry>> = {
  run: {
    summary: 'Run a workflow file here, or on a hub (--hub)',
    load: async () => (await import('./commands/run/run.ts')).run,
  },
  agent: {
    summary: 'Ask a coding agent here, or on a hub (--hub)',
    load: async () => (await import('./commands/agent/agent.ts')).agent,
  },
  agents: {
    summary: 'List and install coding agents',
    load: async () => (await import('./commands/agent/agents.ts')).agents,
  },
  task: {
    summary: 'Have coding tasks carried out by a hub',
    load: async () => (await import('./commands/task/task.ts')).task,
  },
  bot: {
    summary: 'Start and control bots on a hub',
    load: async () => (await import('./commands/bot/bot.ts')).bot,
  },
  validate: {
    summary: 'Check a workflow file',
    load: async () => (await import('./commands/run/validate.ts')).validate,
  },
  up: {
    summary: 'Start a hub and a runner of its own',
    load: async () => (await import('./commands/hub/up.ts')).up,
  },
  runner: {
    summary: 'Start a runner for a hub, or enrol this machine',
    load: async () => (await import('./commands/runner/runner.ts')).runner,
  },
  sessions: {
    summary: 'Look at, go on with and share sessions with agents on a hub',
    load: async () => (await import('./commands/session/sessions.ts')).sessions,
  },
  runs: {
    summary: 'Look at and control runs on a hub',
    load: async () => (await import('./commands/run/runs.ts')).runs,
  },
  approve: {
    summary: 'Let a step that waits for approval go on',
    load: async () => (await import('./commands/run/answer.ts')).approve,
  },
  reject: {
    summary: 'Refuse a step that waits for approval',
    load: async () => (await import('./commands/run/answer.ts')).reject,
  },
  runners: {
    summary: 'Look at and control runners of a hub',
    load: async () => (await import('./commands/runner/runners.ts')).runners,
  },
  secrets: {
    summary: 'Manage the secrets that a hub keeps',
    load: async () => (await import('./commands/account/secrets.ts')).secrets,
  },
  login: {
    summary: 'Log in to a hub',
    load: async () => (await import('./commands/account/login.ts')).login,
  },
  logout: {
    summary: 'Log out of it',
    load: async () => (await import('./commands/account/login.ts')).logout,
  },
  tokens: {
    summary: 'Manage tokens of a hub',
    load: async () => (await import('./commands/account/tokens.ts')).tokens,
  },
  users: {
    summary: 'Manage users of a hub',
    load: async () => (await import('./commands/account/users.ts')).users,
  },
  views: {
    summary: 'Manage filters of runs that are saved under a name',
    load: async () => (await import('./commands/account/views.ts')).views,
  },
  places: {
    summary: 'Be told what needs you: by webhook, ntfy or e-mail',
    load: async () => (await import('./commands/account/places.ts')).places,
  },
  'agent-server': {
    summary: 'Let other machines run steps here over HTTP',
    load: async () => (await import('./commands/agent/agent-server.ts')).agentServer,
  },
  dispatch: {
    summary: 'Run a workflow file on agent servers',
    load: async () => (await import('./commands/run/dispatch.ts')).dispatch,
  },
  doctor: {
    summary: 'Find what is missing or wrong on this machine',
    load: async () => (await import('./doctor/doctor.ts')).doctor,
  },
  backup: {
    summary: "Back up a hub's data",
    load: async () => (await import('./commands/hub/backup.ts')).backup,
  },
  restore: {
    summary: 'Put a backup into an empty data folder',
    load: async () => (await import('./commands/hub/backup.ts')).restore,
  },
  schema: {
    summary: 'Print the JSON Schema of workflow files',
    load: async () => (await import('./commands/run/validate.ts')).schema,
  },
  version: { summary: 'Print the version', load: async () => (await import('./version.ts')).version },
}
