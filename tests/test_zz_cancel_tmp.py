import sys,time
sys.path.insert(0,'/work/main/tests')
import pytest
from featuremill import RejectLimit, driver
from featuremill.errors import TooManyRejectsError
from featuremill.pipeline import run
from featuremill.synth import SynthConfig, write
from outputs import uncommitted, untrained, features

@pytest.mark.parametrize("n", range(3))
def test_c(spark, tmp_path, monkeypatch, n):
    monkeypatch.setattr(driver,"_GUESSED_IMAGES_PER_SECOND", 8.0)
    write(tmp_path/"p", SynthConfig(4,60,seed=4), workers=1)
    sorted((tmp_path/"p").rglob("*.jpg"))[0].write_bytes(b"x")
    t=time.time()
    with pytest.raises(TooManyRejectsError):
        run(untrained(tmp_path/"p", tmp_path/"o", max_rejects=RejectLimit(count=0)), spark=spark)
    print("ended", time.time()-t, len(features(tmp_path/"o")))
    print(uncommitted(tmp_path/"o"), spark.sparkContext.statusTracker().getActiveJobsIds())
    time.sleep(4)
    print("later", uncommitted(tmp_path/"o"))
