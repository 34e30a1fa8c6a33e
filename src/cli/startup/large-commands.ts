/** Commands that need more than a hub client. The build leaves files with these names out of `main-client.ts`. */
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
