/** The variable, among the secrets of a step, that serves the pull of a bot's image and nothing else. */
export function pullSecret({ action, args }: { action: string; args: object }): string | undefined {
  if (action !== 'bot.serve') return undefined
  const { source } = args as { source?: { registry_auth?: { password_secret?: unknown } } }
  const name = source?.registry_auth?.password_secret
  return typeof name === 'string' ? name : undefined
}
