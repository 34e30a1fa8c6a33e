/**
 * The ways in which an outside service fails, as its client sees them:
 * - `refuses`: nothing listens
 * - `silent`: it accepts a connection and sends nothing
 * - `stops_midway`: it stops in the middle of its answer
 * - `page`: it answers with a page of HTML
 * - `garbage`: it answers with bytes of no protocol
 * - `late`: its answer comes after the client's limit
 * - `cut`: the connection is cut once it has received the request
 */
export const manners = ['refuses', 'silent', 'stops_midway', 'page', 'garbage', 'late', 'cut'] as const
export type Manner = (typeof manners)[number]
