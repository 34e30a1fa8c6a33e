/** What a tool is about to do; some agents' titles are a path alone, and do not say what is done to it. */
export const titleText = (title: string | undefined, kind: string | undefined): string | undefined =>
  title !== undefined && kind !== undefined && /^\S*\/\S*$/.test(title) ? `${kind} ${title}` : (title ?? kind)
