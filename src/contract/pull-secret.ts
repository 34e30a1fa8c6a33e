/** The variable, among the secrets of a step, that serves to have a bot's image, by a pull or a fetch, and nothing else. */
export function pullSecret({ action, args }: { action: string; args: object }): string | undefined {
  if (action !== 'bot.serve') return undefined
  interface Auth {
    password_secret?: unknown
  }
  const { source } = args as { source?: { registry_auth?: Auth; git_auth?: Auth } }
  const name = (source?.registry_auth ?? source?.git_auth)?.password_secret
  return typeof name === 'string' ? name : undefined
}
