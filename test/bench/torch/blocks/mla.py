# Multi-head latent attention: keys and values come from one normed latent, one rotary key serves all heads.
from latent import Latent


class Block(Latent):
    def __init__(self, w, options, width):
        own = options['nopeDim'] or width // options['heads']
        sizes = {
            'H': options['heads'],
            'G': 1,
            'r': options['kvRank'] or 4 * own,
            'dN': own,
            'dR': options['ropeDim'] or 2 * ((own // 2 + 1) // 2),
            'dV': options['valueDim'] or own,
        }
        if options['queryRank'] or not options['causal']:
            raise ValueError('mla: only causal, with queries projected directly')
        super().__init__({**w, 'w_ukv': w['w_ukv'].unsqueeze(0)}, sizes, options)


FORMS = Block.FORMS
