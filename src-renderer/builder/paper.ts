// Where a paper is: cards name it by a link or an arXiv id.

/** The link to a paper; undefined for what is neither a web address nor an arXiv id. */
export function paperLink(paper: string | undefined): string | undefined {
  if (!paper) return undefined;
  if (/^https:\/\//.test(paper)) return paper;
  const id = paper.match(/^(?:arxiv:)?(\d{4}\.\d{4,5}(?:v\d+)?)$/i)?.[1];
  return id && `https://arxiv.org/abs/${id}`;
}
