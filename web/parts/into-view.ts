/** Returns a `ref` that scrolls the chosen element of a scrolling line into view. */
export const intoView = (isChosen: boolean) => (isChosen ? scrollTo : null)

const scrollTo = (chosen: Element | null) => chosen?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
