/** The secret of a bot's run that holds the password of the registry. */
export const REGISTRY_PASSWORD = 'BOT_REGISTRY_PASSWORD'
