# Grouped latent attention: keys and values come from a few normed latents, one rotary key serves all heads.
from latent import Latent


class Block(Latent):
    def __init__(self, w, options, width):
        heads = options['heads']
        d = options['headDim'] or width // heads
        sizes = {
            'H': heads,
            'G': options['latentHeads'],
            'r': options['latentDim'] or 2 * d,
            'dN': d,
            'dR': options['ropeDim'] or 2 * ((d // 2 + 1) // 2),
            'dV': d,
        }
        if options['queryRank'] or options['projBias']:
            raise ValueError('gla: only queries projected directly, without biases')
        super().__init__(w, sizes, options)


FORMS = Block.FORMS
