/** Test files that run once more with colours, another zone, language, umask and home, with what each may show then. */
export const surroundings: ReadonlyMap<string, string> = new Map([])
