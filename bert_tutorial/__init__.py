"""Pretraining BERT, to be read, run and played with: see the notebooks."""

import os

# On a busy machine threads that wait for one another sleep, and leave the processor to others; on a
# quiet one they look out for a moment. Read where PyTorch is loaded; who has chosen keeps it.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    is_quiet = hasattr(os, "getloadavg") and os.getloadavg()[0] < (os.cpu_count() or 1) / 2
    os.environ |= {"GOMP_SPINCOUNT": "100000"} if is_quiet else {"OMP_WAIT_POLICY": "PASSIVE"}

from . import from_d2l
from .devices import try_all_gpus
from .network.config import BERTConfig
from .network.model import BERTModel
from .pretraining.evaluation import baselines, evaluate
from .pretraining.run import Settings
from .pretraining.running import train_bert
from .pretraining.training import train_steps
from .representation.encoding import (
    compare_tokens,
    cosine_similarity,
    get_bert_encoding,
    get_layers,
)
from .representation.fill_mask import fill_mask
from .representation.senses import sense_scores
from .studio.published.bert import save_pretrained
from .studio.published.checkpoints import load_checkpoint, load_pretrained, save_checkpoint
from .studio.runs.run import TrainingRun
from .text.corpora import read_text
from .text.examples import Batch, PretrainingExamples, load_data_wiki
from .text.masking import mask_tokens
from .text.pairs import get_tokens_and_segments
from .text.vocabulary import Vocab, tokenize

__version__ = "0.1.0"

# In the order of the lessons.
__all__ = [
    "read_text", "tokenize", "Vocab",
    "get_tokens_and_segments", "mask_tokens", "load_data_wiki", "PretrainingExamples", "Batch",
    "BERTConfig", "BERTModel", "try_all_gpus",
    "train_bert", "train_steps", "Settings", "TrainingRun", "evaluate", "baselines",
    "save_checkpoint", "load_checkpoint", "load_pretrained", "save_pretrained",
    "get_bert_encoding", "get_layers", "compare_tokens", "cosine_similarity", "fill_mask",
    "sense_scores",
]  # fmt: skip

# Around the lessons' functions, so that their own code is the lesson and nothing else.
BERTModel.__init__ = from_d2l.answered(BERTModel.__init__, from_d2l.check_sizes)
Vocab.__init__ = from_d2l.answered(Vocab.__init__, from_d2l.check_words)
Vocab.__getattr__ = from_d2l.find_in_vocab
tokenize = from_d2l.answered(tokenize, from_d2l.check_text)
train_bert = from_d2l.answered(train_bert, from_d2l.check_training, from_d2l.check_memory)
get_bert_encoding = from_d2l.answered(get_bert_encoding, from_d2l.check_encoding)
get_layers = from_d2l.answered(get_layers, from_d2l.check_encoding)
__getattr__ = from_d2l.find_name
