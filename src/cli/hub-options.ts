/** Options of every command that talks to a hub. */
export const hubOptions = {
  url: {
    type: 'string',
    value: 'URL',
    help: `The hub (default: ERRAND_URL, the login, the hub of this machine)`,
  },
  token: { type: 'string', value: 'TOKEN', help: 'API token (default: ERRAND_TOKEN, the login)' },
} as const
