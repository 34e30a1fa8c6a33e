/**
 * The ways in which an outside service fails, as seen from its client: nothing listens; it accepts and says nothing; it stops in
 * the middle of its answer; it answers a page of HTML; it answers bytes of no protocol; its answer comes after the client's limit; its
 * connection is cut once it has taken the request.
 */
export const manners = ['refuses', 'silent', 'stops_midway', 'page', 'garbage', 'late', 'cut'] as const
export type Manner = (typeof manners)[number]
