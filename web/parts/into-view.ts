/** Brings what is chosen of a line that scrolls into view, as its `ref`. */
export const intoView = (isChosen: boolean) => (isChosen ? scrollTo : null)

const scrollTo = (chosen: Element | null) => chosen?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
