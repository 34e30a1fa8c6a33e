/** Names of the commands that need more than what talks to a hub: the build leaves files of these names out of `main-client.ts`. */
export const largeCommands: readonly string[] = [
  'run',
  'agent',
  'agents',
  'task',
  'validate',
  'up',
  'runner',
  'agent-server',
  'dispatch',
  'doctor',
  'backup',
  'restore',
  'schema',
]
