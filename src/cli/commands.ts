import type { Command, CommandGroup } from './command.ts'

export interface Entry {
  summary: string
  load(): Promise<Command | CommandGroup>
}

/** Every command. Each is loaded only when it is called: loading code is most of the time that a command takes. */
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
    summary: 'Run coding tasks on a hub',
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
    summary: 'Start a hub with its own runner',
    load: async () => (await import('./commands/hub/up.ts')).up,
  },
  runner: {
    summary: 'Start a runner for a hub, or enrol this machine',
    load: async () => (await import('./commands/runner/runner.ts')).runner,
  },
  sessions: {
    summary: 'Show, continue and share sessions with agents on a hub',
    load: async () => (await import('./commands/session/sessions.ts')).sessions,
  },
  runs: {
    summary: 'Show and control runs on a hub',
    load: async () => (await import('./commands/run/runs.ts')).runs,
  },
  approve: {
    summary: 'Approve a step that waits for approval',
    load: async () => (await import('./commands/run/answer.ts')).approve,
  },
  reject: {
    summary: 'Reject a step that waits for approval',
    load: async () => (await import('./commands/run/answer.ts')).reject,
  },
  runners: {
    summary: 'Show and control runners of a hub',
    load: async () => (await import('./commands/runner/runners.ts')).runners,
  },
  secrets: {
    summary: 'Manage the secrets that a hub stores',
    load: async () => (await import('./commands/account/secrets.ts')).secrets,
  },
  login: {
    summary: 'Log in to a hub',
    load: async () => (await import('./commands/account/login.ts')).login,
  },
  logout: {
    summary: 'Log out of a hub',
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
    summary: 'Manage saved filters of runs',
    load: async () => (await import('./commands/account/views.ts')).views,
  },
  channels: {
    summary: 'Get notified by webhook, ntfy or e-mail when something needs you',
    load: async () => (await import('./commands/account/channels.ts')).channels,
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
    summary: 'Restore a backup into an empty data folder',
    load: async () => (await import('./commands/hub/backup.ts')).restore,
  },
  schema: {
    summary: 'Print the JSON Schema of workflow files',
    load: async () => (await import('./commands/run/validate.ts')).schema,
  },
  version: { summary: 'Print the version', load: async () => (await import('./version.ts')).version },
}
