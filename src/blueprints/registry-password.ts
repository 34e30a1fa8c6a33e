/** The secret of a bot's run that holds the password of what its image is made from: a registry, or a Git server. */
export const SOURCE_PASSWORD = 'BOT_REGISTRY_PASSWORD'
