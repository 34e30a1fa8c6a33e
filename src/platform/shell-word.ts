/** A text as one word for a shell: what is shown is copied, and whoever chose the text may not have meant well. */
export const shellWord = (text: string): string =>
  /^[\w./:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
