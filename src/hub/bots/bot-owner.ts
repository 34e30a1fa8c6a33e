/** Whose bots: names are unique within a tenant. */
export interface BotOwner {
  owner: string
  tenant: string
}
