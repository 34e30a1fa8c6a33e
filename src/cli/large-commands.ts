/** The commands that need more than what talks to a hub; each is a file of this folder. */
export const largeCommands: readonly string[] = [
  'run',
  'agent',
  'agents',
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
